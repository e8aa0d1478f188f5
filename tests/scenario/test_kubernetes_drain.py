"""What a pod of Envoy does before it is stopped, done to a real Envoy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import pytest

from stepflow.handoff import Endpoint
from stepflow.targets.kubernetes.manifests import drain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform


async def _drain(admin: str, longest: int) -> int:
    """Run the hook; of the time that endpoints take to hear of it, none is waited."""
    *script, number, _, most = drain.envoy(urlsplit(admin).port or 0, longest)["exec"]["command"]
    process = await asyncio.create_subprocess_exec(*script, number, "0", most)
    return await asyncio.wait_for(process.wait(), 90)


async def _in_flight(local: Local) -> tuple[str, asyncio.Task[str], Path]:
    """Ask through Envoy for what is answered once a file exists; give Envoy's admin address, the question, the file."""
    sign = local.site.state.parent / "sign"
    await local.apply(local.hello(env={"LIVE_FILE": str(sign)}), local.gateway())
    admin = local.target.live().url(Endpoint("gateway", "admin"))
    held = asyncio.create_task(local.get("/held", "gateway"))
    active = f"{admin}/stats?filter=ingress.downstream_rq_active"
    await local.when(lambda: httpx2.get(active).text.strip().endswith(": 1"))
    return admin, held, sign


async def test_the_hook_of_envoy_ends_when_nothing_is_in_flight_any_more(local: Local) -> None:
    admin, held, sign = await _in_flight(local)
    draining = asyncio.create_task(_drain(admin, 90))
    await asyncio.wait({draining, held}, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
    assert not draining.done()
    sign.touch()
    assert await draining == 0
    assert await held == "hello-1"
    assert httpx2.get(f"{admin}/ready").status_code == 503
    async with httpx2.AsyncClient() as http:
        late = await http.get(local.target.live().url(Endpoint("gateway")))
    assert (late.status_code, late.headers["connection"]) == (200, "close")


async def test_the_hook_of_envoy_waits_no_longer_than_it_may(local: Local) -> None:
    admin, held, sign = await _in_flight(local)
    assert await _drain(admin, 0) == 0
    assert not held.done()
    sign.touch()
    assert await held == "hello-1"


async def test_the_hook_of_an_envoy_that_is_gone_ends_at_once() -> None:
    assert await _drain("http://127.0.0.1:1", 600) == 0
