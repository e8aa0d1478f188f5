"""Whatever is killed comes back; whatever is taken down stays down."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from stepflow.targets import open_target
from stepflow.targets.local.pair import alive
from stepflow.targets.wholefile import write_whole
from stepflow.workload import HttpProbe, Server

if TYPE_CHECKING:
    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform
PATIENCE = 60  # seconds in which anything must be back


async def _back(local: Local, old: set[int], count: int) -> None:
    """Wait until as many processes run as before, none of them an old one, and all are ready."""
    async with asyncio.timeout(PATIENCE):
        while True:
            new = set(local.pids().values())
            observed = (await local.target.observe()).values()
            if len(new) == count and not new & old and all(each.state == "ready" for each in observed):
                return
            await asyncio.sleep(0.02)


async def test_a_killed_workload_is_back_and_the_restart_is_counted(local: Local) -> None:
    await local.apply(local.hello())
    [copy] = local.target.live().instances("hello")
    await local.target.live().kill(copy)
    await _back(local, {int(copy.handle)}, 1)
    assert (await local.target.observe())["hello"].restarts == 1
    assert await local.get() == "hello-1"


async def test_each_killed_server_is_back_and_kept_its_ports(local: Local) -> None:
    await local.apply(local.hello(), servers=(Server("nats"), Server("postgres"), Server("valkey")))
    before = {name: each.url for name, each in (await local.target.observe()).items()}
    for name in ("nats", "postgres", "valkey"):
        pid = local.pids()[name]
        os.kill(pid, signal.SIGKILL)
        await _back(local, {pid}, 4)
    assert {name: each.url for name, each in (await local.target.observe()).items()} == before


async def test_a_killed_supervisor_is_back_with_all_its_processes_and_no_second_copy(local: Local) -> None:
    await local.apply(local.hello(replicas=2), servers=(Server("nats"), Server("postgres")))
    old, supervisor = set(local.pids().values()), local.store.observed().supervisor
    os.kill(supervisor, signal.SIGKILL)
    await _back(local, old, 4)
    seen = local.store.observed()
    assert seen.supervisor != supervisor
    known = set(local.pids().values()) | {seen.supervisor, seen.guardian}
    assert [pid for pid in local.processes() if not {pid, os.getpgid(pid)} & known] == []


async def test_a_killed_guardian_is_replaced_and_nothing_else_is_touched(local: Local) -> None:
    await local.apply(local.hello())
    running, guardian = local.pids(), local.store.observed().guardian
    os.kill(guardian, signal.SIGKILL)
    await local.when(lambda: local.store.observed().guardian != guardian)
    assert local.pids() == running
    os.kill(local.store.observed().supervisor, signal.SIGKILL)  # the new guardian does its work
    await _back(local, set(running.values()), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a killed process")
async def test_when_both_are_killed_nothing_is_left_and_apply_starts_all_again(local: Local) -> None:
    hello = local.hello()
    await local.apply(hello, servers=(Server("postgres"),))
    local.kill_pair()
    await local.when(lambda: not local.processes())
    assert await local.state() == "stopped"
    assert not alive(local.layout)
    await local.apply(hello, servers=(Server("postgres"),))
    assert await local.get() == "hello-1"


async def test_a_workload_that_no_longer_answers_its_liveness_probe_is_started_again(local: Local) -> None:
    sign = local.site.state.parent / "alive"
    sign.touch()
    await local.apply(local.hello(live=HttpProbe("/live"), env={"LIVE_FILE": str(sign)}))
    [copy] = local.target.live().instances("hello")
    sign.unlink()
    await local.when(lambda: local.pids().get("hello-1") not in {None, int(copy.handle)})
    sign.touch()
    await local.until("ready")


async def test_a_supervisor_that_is_asked_to_end_stops_everything_and_leaves(local: Local) -> None:
    hello = local.hello()
    await local.apply(hello, servers=(Server("postgres"),))
    os.kill(local.store.observed().supervisor, signal.SIGTERM)
    await local.when(lambda: not alive(local.layout))
    assert local.processes() == []
    assert local.layout.log("hello-1").read_text().endswith("finished hello-1\n")
    await local.apply(hello, servers=(Server("postgres"),))
    assert await local.state() == "ready"


async def test_the_command_may_be_killed_at_any_moment_of_its_start(local: Local) -> None:
    """Each time it is killed a little later; then the declaration is applied in peace."""
    hello = local.hello()
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from stepflow.targets import open_target\n"
        "from stepflow.targets.contract import Desired, Site\n"
        "from stepflow.workload import Declaration, HttpProbe, Server, Workload\n"
        "hello = Workload('hello', ('python', '-m', 'service'), HttpProbe('/', deadline=90), context='hello')\n"
        "target = open_target('local', Site('one', Path(sys.argv[1]), Path(sys.argv[2])))\n"
        "print('begins', flush=True)\n"
        "desired = Desired(Declaration((hello,), (Server('postgres'),)), {'hello': '1'})\n"
        "asyncio.run(target.apply(desired, lambda _: None))\n"
    )
    for moment in (0.05, 0.2, 0.4, 0.7):
        command = [sys.executable, "-c", script, str(local.site.state), str(local.site.out)]
        started = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert started.stdout is not None
        assert await started.stdout.readline() == b"begins\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(started.wait(), moment)
        if started.returncode is None:
            started.kill()
        await started.wait()
    await local.apply(hello, servers=(Server("postgres"),))
    assert await local.get() == "hello-1"
    assert len(local.pids()) == 2


async def test_a_platform_that_another_version_started_is_taken_over_without_a_restart(local: Local) -> None:
    hello = local.hello()
    await local.apply(hello, servers=(Server("nats"),))
    running = local.pids()
    raw = json.loads(local.layout.desired.read_text())
    for process in raw["processes"].values():
        process["later"] = "what a newer version knows"
    write_whole(local.layout.desired, json.dumps(raw))
    await local.apply(hello, local.hello("other"), servers=(Server("nats"),))
    assert local.pids().items() >= running.items()


async def test_steps_that_run_in_parallel_share_a_server_that_is_not_there_yet(local: Local) -> None:
    workloads = [local.hello(f"hello{number}") for number in range(3)]
    servers = (Server("nats"), Server("valkey"))
    await asyncio.gather(*(local.apply(workload, servers=servers) for workload in workloads))
    assert {each.state for each in (await local.target.observe()).values()} == {"ready"}
    starts = local.layout.log("nats").read_text().count("Starting nats-server")
    assert starts == 1


async def test_looking_waits_for_nothing_with_and_without_a_supervisor(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.apply(local.hello())
    with monkeypatch.context() as patched:
        _no_waiting(patched)
        assert (await local.target.observe())["hello"].state == "ready"
    await local.target.remove(None)
    _no_waiting(monkeypatch)
    assert await local.target.observe() == {}


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_running_platform_whose_directory_is_moved_is_followed(local: Local, *, goes_on: bool) -> None:
    hello, servers = local.hello(), (Server("postgres", "users"),)
    await local.apply(hello, servers=servers)
    supervisor = local.store.observed().supervisor
    root = local.site.state.parent.rename(local.site.state.parent.with_name("moved"))
    moved = replace(local, site=replace(local.site, state=root / "state", out=root / "out"))
    moved.target = open_target("local", moved.site)
    await local.when(lambda: moved.store.observed().supervisor == supervisor)
    if goes_on:
        await moved.apply(hello, servers=servers)
        assert await moved.get() == "hello-2"
        assert moved.store.observed().supervisor == supervisor
        os.kill(supervisor, signal.SIGKILL)  # and so is the guardian's next one
        await moved.when(lambda: moved.store.observed().supervisor not in {0, supervisor})
        await moved.until("ready")
    assert set(await moved.target.remove(None, data=True)) == {"hello", "postgres"}
    await local.when(lambda: not moved.processes() and not local.processes())


async def test_a_platform_whose_state_directory_is_removed_ends_by_itself(local: Local) -> None:
    await local.apply(local.hello())
    shutil.rmtree(local.site.state)
    await local.when(lambda: not local.processes())


def _no_waiting(patched: pytest.MonkeyPatch) -> None:
    """Let every pause, timeout, process and connection fail."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("this waits")

    loop = asyncio.get_running_loop()
    patched.setattr(time, "sleep", refused)
    patched.setattr(subprocess, "Popen", refused)
    for name in ("call_at", "call_later", "run_in_executor", "create_connection", "subprocess_exec"):
        patched.setattr(loop, name, refused)
