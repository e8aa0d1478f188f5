"""When something dies, clients notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import ExitStack
from itertools import chain

import httpx2
from stage import Stage

from chassis.testing import eventually

CUT_OFF = "without sending complete message body"
"""httpx's error for an answer that broke off midway: the gateway cannot repeat that request for the client."""


async def load(url: str, until: asyncio.Event) -> list[str]:
    """Send requests from six clients until the event; return what went wrong."""

    async def one(http: httpx2.AsyncClient) -> list[str]:
        failures = []
        while not until.is_set():
            try:
                answer = await http.get(url)
                failures += [] if answer.status_code == 200 else [f"{answer.status_code} {answer.text}"]
            except httpx2.HTTPError as error:
                failures.append(repr(error))
            await asyncio.sleep(0.01)
        return failures

    async with httpx2.AsyncClient(timeout=30) as http:
        return list(chain.from_iterable(await asyncio.gather(*(one(http) for _ in range(6)))))


async def instances(stage: Stage, service: str) -> int:
    async with httpx2.AsyncClient(timeout=30) as http:
        listed = (await http.get(f"{stage.gateway}/api/registry")).json()["services"]
    return sum(len(each["instances"]) for each in listed if each["name"] == service)


async def test_an_instance_that_is_killed_leaves_with_its_lease_and_no_request_fails_whose_answer_has_not_begun(
    on_stage: Stage,
) -> None:
    over = asyncio.Event()
    with ExitStack() as stack:
        killed, _left = (stack.enter_context(on_stage.instance("twins", f"twins-{each}")) for each in (1, 2))
        await on_stage.answers("/twins", by="twins-1")
        await on_stage.answers("/twins", by="twins-2")
        assert (await on_stage.entry("twins.twins-1"))["Nats-TTL"] == "3"
        running = asyncio.create_task(load(f"{on_stage.gateway}/twins", over))
        await asyncio.sleep(0.5)
        killed.kill()
        await eventually(lambda: _is(instances(on_stage, "twins"), 1))
        over.set()
        assert [each for each in await running if CUT_OFF not in each] == []


async def test_an_instance_that_stops_leaves_at_once_and_no_request_fails(on_stage: Stage) -> None:
    over = asyncio.Event()
    with ExitStack() as stack:
        stopped, _left = (stack.enter_context(on_stage.instance("duo", f"duo-{each}")) for each in (1, 2))
        await on_stage.answers("/duo", by="duo-1")
        await on_stage.answers("/duo", by="duo-2")
        running = asyncio.create_task(load(f"{on_stage.gateway}/duo", over))
        await asyncio.sleep(0.3)
        stopped.terminate()
        await eventually(lambda: _is(instances(on_stage, "duo"), 1))
        assert (await on_stage.entry("duo.duo-1"))["KV-Operation"] == "DEL"  # itself, and not the end of its lease
        assert await asyncio.to_thread(stopped.wait, 60) == 0
        over.set()
        assert await running == []


async def test_an_instance_that_comes_later_gets_its_share(on_stage: Stage) -> None:
    async with on_stage.backend("grow", "1", routes=["/grow"]):
        await on_stage.answers("/grow", by="grow-1")
        async with on_stage.backend("grow", "2", routes=["/grow"]):
            await on_stage.answers("/grow", by="grow-2")
        await on_stage.answers("/grow", by="grow-1")


async def test_the_gateway_serves_on_while_its_control_plane_is_dead(on_stage: Stage) -> None:
    async with on_stage.backend("steady", routes=["/steady"]):
        await on_stage.answers("/steady")
        on_stage.processes["control"].kill()
        await asyncio.to_thread(on_stage.processes["control"].wait)
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(2, over.set)
        assert await load(f"{on_stage.gateway}/steady", over) == []


async def _is(answer: Awaitable[int], expected: int) -> bool:
    return await answer == expected
