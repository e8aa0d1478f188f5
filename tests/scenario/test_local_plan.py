"""A plan on this machine, followed by the run: what was printed is what was done, and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from stepflow.handoff import ConfigFile, Endpoint, ServerFile
from stepflow.targets import Desired
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

if TYPE_CHECKING:
    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform


class Planned:
    """Plans and runs the same declaration on one platform."""

    def __init__(self, local: Local) -> None:
        self.local = local

    async def both(self, *workloads: Workload, digest: str = "1", servers: tuple[Server, ...] = ()) -> list[str]:
        """Plan, run, and return what the plan printed; what was executed must be the same, and then all is kept."""
        digests = {each.name: digest for each in workloads}
        desired = Desired(Declaration(workloads, servers), digests, workloads)
        target = self.local.target
        printed = target.reconcile(desired, await target.observe())
        done = await target.apply(desired, self.local.said.append)
        assert [str(each) for each in done] == [str(each) for each in printed]
        after = target.reconcile(desired, await target.observe())
        assert {each.verb for each in after} == {"keep"}, [str(each) for each in after]
        return [str(each) for each in printed if each.verb != "keep"]


async def test_a_first_run_then_scaling_in_both_directions(local: Local) -> None:
    planned = Planned(local)
    assert await planned.both(local.hello(), servers=(Server("nats"),)) == [
        "create   nats: it does not exist",
        "create   hello-1: it does not exist",
    ]
    assert await planned.both(local.hello(replicas=3)) == [
        "create   hello-2: another copy is desired",
        "create   hello-3: another copy is desired",
    ]
    assert await planned.both(local.hello()) == [
        "remove   hello-2: only 1 copy is desired",
        "remove   hello-3: only 1 copy is desired",
    ]


async def test_a_variable_of_the_gateway_that_changed_alone_replaces_it_in_place(local: Local) -> None:
    planned = Planned(local)
    gate: dict[str, Any] = {"ports": (Port(number=23461, published=True),)}
    other = local.hello("other", env={"GATE": Endpoint("gate")})
    await planned.both(local.hello("gate", **gate), other)
    assert await planned.both(local.hello("gate", env={"COLOUR": "blue"}, **gate), other) == [
        "replace  gate-1: its variable `COLOUR` changed"
    ]


async def test_a_new_version_and_a_configuration_that_was_edited_on_disk(local: Local) -> None:
    planned = Planned(local)
    configured: dict[str, Any] = {"env": {"FILE": ConfigFile("c.json")}, "configs": {"c.json": {"colour": "blue"}}}
    await planned.both(local.hello(**configured))
    assert await planned.both(local.hello(**configured), digest="2") == [
        "replace  hello-1 with hello-2: what it is made from changed"
    ]
    (local.layout.configs / "hello-2" / "c.json").write_text("{}")
    assert await planned.both(local.hello(**configured), digest="2") == [
        "replace  hello-2 with hello-1: its file `c.json` was changed on disk"
    ]
    assert json.loads((local.layout.configs / "hello-1" / "c.json").read_text()) == {"colour": "blue"}


async def test_what_is_down_as_a_whole_is_started_as_it_was(local: Local) -> None:
    planned = Planned(local)
    hello = local.hello(env={"NATS_URL_FILE": ServerFile("nats")})
    await planned.both(hello)
    local.kill_pair()
    await local.when(lambda: not local.processes())
    desired = Desired(Declaration((hello,)), {"hello": "1"}, (hello,))
    printed = [str(each) for each in local.target.reconcile(desired, await local.target.observe())]
    assert printed == [
        "start    supervisor: it does not run; what stopped with it starts again",
        "wait     nats: it starts with the supervisor",
        "wait     hello-1: it starts with the supervisor",
    ]
    done = await local.target.apply(desired, local.said.append)
    assert {(each.verb, each.name) for each in done if each.verb != "keep"} <= {
        ("start", "supervisor"),
        ("wait", "nats"),
        ("wait", "hello-1"),
    }
    assert {each.verb for each in local.target.reconcile(desired, await local.target.observe())} == {"keep"}


async def test_a_new_version_with_another_copy_ends_with_as_many_as_desired(local: Local) -> None:
    planned = Planned(local)
    await planned.both(local.hello())
    assert await planned.both(local.hello(replicas=2), digest="2") == [
        "create   hello-2: another copy is desired",
        "replace  hello-1 with hello-3: what it is made from changed",
    ]
    assert sorted(local.pids()) == ["hello-2", "hello-3"]


async def test_a_port_of_a_server_that_is_taken_while_all_is_down_is_another_one_afterwards(
    local: Local,
) -> None:
    hello = local.hello(env={"NATS_URL_FILE": ServerFile("nats")})
    await local.apply(hello)
    number = local.store.desired()["nats"].ports["nats"]
    await local.target.remove(None)
    await local.apply(hello)
    local.kill_pair()
    await local.when(lambda: not local.processes())
    with socket.create_server(("127.0.0.1", number)):
        await local.apply(hello)
        assert local.store.desired()["nats"].ports["nats"] != number
        assert await local.state() == "ready"


async def test_a_copy_whose_start_was_cut_off_is_waited_for(local: Local) -> None:
    sign = local.site.state.parent / "sign"  # until it is there, the copy is not ready
    hello = local.hello(ready=HttpProbe("/sign", deadline=90), env={"LIVE_FILE": str(sign)})
    starting = asyncio.create_task(local.apply(hello))
    pid = await local.when(lambda: local.pids().get("hello-1"))
    starting.cancel()
    await asyncio.wait([starting])
    desired = Desired(Declaration((hello,)), {"hello": "1"}, (hello,))
    [action] = local.target.reconcile(desired, await local.target.observe())
    assert (action.verb, action.name) == ("wait", "hello-1")
    sign.touch()
    await local.target.apply(desired, local.said.append)
    assert local.pids() == {"hello-1": pid}
    assert [each.verb for each in local.target.reconcile(desired, await local.target.observe())] == ["keep"]
