"""A new definition takes over without dropping what is in flight."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from stepflow.handoff import ConfigFile, DataDir, Endpoint
from stepflow.targets.ports import HOST
from stepflow.workload import Port

if TYPE_CHECKING:
    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform


async def test_a_request_in_flight_is_answered_by_the_old_copy_while_the_new_one_takes_over(local: Local) -> None:
    sign = local.site.state.parent / "sign"
    await local.apply(local.hello(env={"LIVE_FILE": str(sign)}))
    number = local.store.desired()["hello-1"].ports["http"]
    held = asyncio.create_task(local.get("/held"))
    await local.when(lambda: "held by hello-1" in local.layout.log("hello-1").read_text())
    applying = asyncio.create_task(local.apply(local.hello(env={"COLOUR": "blue"}), digest="2"))
    await local.when(lambda: refused(number))  # it was told to stop
    sign.touch()
    assert await held == "hello-1"
    await applying
    assert await local.get("/env/INSTANCE") == "hello-2"
    assert list(local.pids()) == ["hello-2"]
    assert (await local.target.observe())["hello"].digest == "2"


async def test_there_is_always_a_copy_that_answers_while_several_are_replaced(local: Local) -> None:
    await local.apply(local.hello(replicas=2))
    applying = asyncio.create_task(local.apply(local.hello(replicas=2), digest="2"))
    least = 2
    while not applying.done():
        ready = [copy for copy in local.target.live().instances("hello") if copy.state == "ready"]
        least = min(least, len(ready))
        await asyncio.sleep(0.02)
    await applying
    assert least >= 1
    assert (await local.target.observe())["hello"].ready == 2


async def test_a_published_port_keeps_its_number_when_its_workload_is_replaced(local: Local) -> None:
    gate = Port(published=True, number=23456)
    await local.apply(local.hello(ports=(gate,)))
    number = local.store.desired()["hello-1"].ports["http"]
    await local.apply(local.hello(ports=(gate,), env={"COLOUR": "blue"}), digest="2")
    assert local.store.desired()["hello-1"].ports["http"] == number
    assert await local.get("/env/COLOUR") == "blue"


async def test_two_copies_never_share_a_data_directory_by_being_replaced(local: Local) -> None:
    changes: dict[str, Any] = {"data": ("store",), "env": {"STORE": DataDir("store")}}
    await local.apply(local.hello(**changes))
    await local.apply(local.hello(**changes), digest="2")
    assert list(local.pids()) == ["hello-1"]
    assert await local.get("/env/STORE") == str(local.layout.data / "store")


async def test_an_address_that_another_workload_holds_stays_when_its_workload_is_replaced(local: Local) -> None:
    other = local.hello("other", env={"HELLO": Endpoint("hello")})
    await local.apply(local.hello(), other)
    address = await local.get("/env/HELLO", "other")
    await local.apply(local.hello(), digest="2")
    assert local.target.live().url(Endpoint("hello")) == address


async def test_a_changed_configuration_file_starts_its_workload_again(local: Local) -> None:
    for colour in ("blue", "red"):
        configs: dict[str, Any] = {"colour.json": {"colour": colour}}
        await local.apply(local.hello(env={"FILE": ConfigFile("colour.json")}, configs=configs))
        [copy] = local.target.live().instances("hello")
        file = await local.get("/env/FILE")
        assert _json(file) == {"colour": colour}
    assert copy.name == "hello-2"


async def test_replicas_are_added_and_taken_away(local: Local) -> None:
    for count in (1, 3, 2):
        await local.apply(local.hello(replicas=count))
        names = [copy.name for copy in local.target.live().instances("hello")]
        assert names == [f"hello-{number}" for number in range(1, count + 1)]


async def test_envoy_answers_what_is_in_flight_before_it_is_stopped(local: Local) -> None:
    gateway = local.gateway()
    await local.apply(local.hello(), gateway)
    assert await local.get("/env/SERVICE", "gateway") == "hello"
    slow = asyncio.create_task(local.get("/slow", "gateway"))
    admin = local.target.live().url(Endpoint("gateway", "admin", path="/stats?filter=ingress.downstream_rq_active"))
    await local.when(lambda: httpx2.get(admin).text.strip() == "http.ingress.downstream_rq_active: 1")
    assert await local.target.remove(["gateway"]) == ("gateway",)
    assert await slow == "hello-1"
    assert list(local.pids()) == ["hello-1"]


def refused(number: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, number)) != 0


def _json(file: str) -> object:
    return json.loads(Path(file).read_text())
