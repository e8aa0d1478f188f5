"""What goes wrong is said at once: what, where, the last words of the log, what to do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from stepflow.errors import MachineError, PermanentError, TemporaryError
from stepflow.handoff import SecretFile, ServerFile
from stepflow.targets import open_target
from stepflow.targets.contract import Desired
from stepflow.targets.ports import free
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform


async def test_a_process_that_exits_while_it_is_waited_for_fails_at_once_with_its_last_words(local: Local) -> None:
    broken = local.hello(env={"EXIT": "3"}, ready=HttpProbe("/", deadline=600))
    with pytest.raises(PermanentError) as failure:
        async with asyncio.timeout(100):
            await local.apply(broken)
    assert failure.value.message == (
        "`hello-1` exited with code 3 before it was ready\n"
        "the last lines of its log:\n"
        "  cannot go on: the moon is in the wrong phase"
    )
    assert failure.value.log == str(local.layout.log("hello-1"))
    assert failure.value.hint == "`stepflow logs hello` shows all of it"
    assert await local.state() == "failed"


async def test_a_failed_workload_is_tried_again_by_the_next_apply_and_repaired_by_a_better_one(local: Local) -> None:
    broken = local.hello(env={"EXIT": "3"})
    for _ in range(2):
        with pytest.raises(PermanentError, match="exited with code 3"):
            await local.apply(broken)
    assert local.layout.log("hello-1").read_text().count("the moon") == 2
    await local.apply(local.hello(), digest="2")
    assert await local.state() == "ready"
    assert list(local.pids()) == ["hello-2"]


async def test_a_restart_that_cannot_be_started_is_told_at_once_and_the_platform_can_be_taken_down(
    local: Local,
) -> None:
    await local.apply(local.hello())
    folder = local.site.out / "hello"
    hello = local.hello()
    shutil.rmtree(folder)
    os.kill(local.pids()["hello-1"], signal.SIGKILL)
    await local.until("failed")
    why = f"cannot be started: [Errno 2] No such file or directory: '{folder}'"
    assert (await local.target.observe())["hello"].detail == why
    async with asyncio.timeout(10):  # its readiness deadline is twice as long
        with pytest.raises(PermanentError) as failure:
            await local.apply(hello)
        assert failure.value.message.split("\n")[0] == f"`hello-1` {why}"
        assert await local.target.remove(None) == ("hello",)
    assert local.processes() == []


async def test_logs_that_were_removed_are_written_again_after_the_next_apply(local: Local) -> None:
    await local.apply(local.hello())
    shutil.rmtree(local.layout.logs)
    os.kill(local.pids()["hello-1"], signal.SIGKILL)
    await local.until("failed")
    async with asyncio.timeout(10):
        await local.apply(local.hello())
    assert local.layout.log("hello-1").read_text() == "serving hello-1\n"


async def test_a_workload_that_is_not_ready_in_time_fails_with_the_last_answer(local: Local) -> None:
    for number, deadline in enumerate((1.5, 6, 24)):  # on a busy machine it does not answer at all for a while
        slow = local.hello(f"slow{number}", ready=HttpProbe("/never", deadline=deadline), env={"LIVE_FILE": "/none"})
        with pytest.raises(PermanentError) as failure:
            await local.apply(slow)
        if "nothing listens" not in failure.value.message:
            break
    assert failure.value.message == (
        f"`slow{number}-1` is not ready after {deadline:g} s; the last answer: GET /never answers 503 slow{number}-1\n"
        "the last lines of its log:\n"
        f"  serving slow{number}-1"
    )


async def test_progress_says_what_is_waited_for_and_what_the_last_probe_answered(local: Local) -> None:
    sign = local.site.state.parent / "sign"
    waited_for = local.hello(ready=HttpProbe("/sign", deadline=90), env={"LIVE_FILE": str(sign)})
    applying = asyncio.create_task(local.apply(waited_for))
    answer = ("`hello-1`", "GET /sign answers 503 hello-1")
    await local.when(lambda: answer in [(each.waiting_for, each.answer) for each in local.said])
    sign.touch()
    await applying


async def test_a_published_port_that_is_taken_is_replaced_by_the_next_free_one_and_it_is_said(local: Local) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        await local.apply(local.hello(ports=(Port(number=taken, published=True),)))
        got = local.store.desired()["hello-1"].ports["http"]
    assert got > taken
    owner = f" by `{_name()}` (pid {os.getpid()})"
    assert f"port {taken} is taken{owner}: `hello-1/http` gets {got} instead" in [
        e.waiting_for for e in local.said if e.remark
    ]


async def test_a_port_that_another_owner_took_while_the_platform_runs_is_an_error_that_names_them(local: Local) -> None:
    await local.apply(local.hello())
    number = local.store.desired()["hello-1"].ports["http"]
    supervisor = local.store.observed().supervisor
    os.kill(supervisor, signal.SIGSTOP)  # so that it cannot be quicker
    os.kill(local.pids()["hello-1"], signal.SIGKILL)
    await local.when(lambda: free(number))
    with socket.create_server(("127.0.0.1", number)):
        os.kill(supervisor, signal.SIGCONT)
        await local.until("failed")
        with pytest.raises(PermanentError) as failure:
            await local.apply(local.hello())
        named = rf"port {number} (of `hello-1` )?is taken by `{_name()}` \(pid {os.getpid()}\)"  # as it is caught
        assert re.search(named, failure.value.message)
        assert failure.value.hint.startswith("end that process, or `stepflow down` first")
    await local.apply(local.hello())
    assert await local.get() == "hello-1"


async def test_a_port_that_someone_took_before_the_first_start_is_replaced_at_the_next_try(local: Local) -> None:
    await local.apply(local.hello("other"))
    with socket.create_server(("127.0.0.1", 0)) as holder:
        number = holder.getsockname()[1]
        local.layout.ports.write_text(json.dumps({"hello-1/http": number}))
        with pytest.raises(TemporaryError) as failure:
            await local.apply(local.hello())
        owner, another = f"`{_name()}` (pid {os.getpid()})", json.loads(local.layout.ports.read_text())["hello-1/http"]
        taken = f"port {number} of `hello-1` was taken by {owner} before it could listen"
        assert failure.value.message == f"{taken}; it gets {another}"
        await local.apply(local.hello())
        assert await local.get() == "hello-1"


async def test_a_server_that_is_killed_during_its_start_fails_the_apply_and_the_next_one_succeeds(local: Local) -> None:
    applying = asyncio.create_task(local.apply(servers=(Server("postgres"),)))
    pid = await local.when(lambda: local.pids().get("postgres", 0))
    os.kill(pid, signal.SIGKILL)  # initdb, most probably
    with pytest.raises(PermanentError, match=r"`postgres` ended by SIGKILL (before it was ready|while it prepared)"):
        await applying
    await local.apply(servers=(Server("postgres"),))
    assert await local.state("postgres") == "ready"


async def test_a_reference_to_a_workload_that_does_not_exist_says_which_there_are(local: Local) -> None:
    with pytest.raises(PermanentError) as failure:
        await local.apply(local.hello(needs=("nobody",)))
    assert failure.value.message == "`hello` needs `nobody`, which does not exist"


def _moonphase(folder: Path) -> str:
    """Build a package that says something when it is imported; return the requirement for it."""
    wheel = folder / "moonphase-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("moonphase.py", "print('the moon is full', flush=True)\n")
        archive.writestr("moonphase-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: moonphase\nVersion: 1.0\n")
        archive.writestr(
            "moonphase-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("moonphase-1.0.dist-info/RECORD", "")
    return f"moonphase @ {wheel.as_uri()}"


def _depend(local: Local, name: str, requirement: str) -> Workload:
    workload = local.hello(name, env={"IMPORT": "moonphase"})
    project = f'[project]\nname = "{name}"\nversion = "0"\ndependencies = ["{requirement}"]\n'
    (local.site.out / name / "pyproject.toml").write_text(project)
    return workload


async def test_a_dependency_that_the_user_added_to_the_rendered_source_is_installed(
    local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    moonphase = _moonphase(tmp_path)
    await local.apply(_depend(local, "hello", moonphase))
    assert f"an environment with `{moonphase}`" in [each.waiting_for for each in local.said]
    assert [line async for line in local.target.logs("hello")] == ["the moon is full", "serving hello-1"]


async def test_workloads_with_the_same_dependency_share_one_environment_that_is_made_once(
    local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    moonphase = _moonphase(tmp_path)
    await local.apply(*(_depend(local, name, moonphase) for name in ("hello", "other", "third")))
    assert [each.waiting_for for each in local.said].count(f"an environment with `{moonphase}`") == 1
    for name in ("hello", "other", "third"):
        assert [line async for line in local.target.logs(name)] == ["the moon is full", f"serving {name}-1"]


async def test_a_dependency_that_cannot_be_installed_fails_with_what_uv_says(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    hello = local.hello()
    project = '[project]\nname = "hello"\nversion = "0"\ndependencies = ["no-such-thing==1"]\n'
    (local.site.out / "hello" / "pyproject.toml").write_text(project)
    with pytest.raises(PermanentError) as failure:
        await local.apply(hello)
    assert failure.value.message.startswith("`no-such-thing==1` cannot be installed:\n")
    assert "no-such-thing" in failure.value.message.partition("\n")[2]


async def test_a_server_that_is_referred_to_is_started_even_if_it_was_not_declared(local: Local) -> None:
    await local.apply(local.hello(env={"NATS_URL_FILE": ServerFile("nats")}))
    assert await local.state("nats") == "ready"
    assert (await local.get("/env/NATS_URL_FILE")).endswith("/secrets/nats.url")


def _name() -> str:
    return psutil.Process().name()


async def test_a_secret_that_only_a_person_knows_is_asked_for_and_then_read(local: Local) -> None:
    mailer = local.hello(env={"PASSWORD_FILE": SecretFile("smtp-password", given=True)})
    with pytest.raises(
        PermanentError, match="`hello` needs the secret `smtp-password`, which only you know"
    ) as failure:
        await local.apply(mailer)
    path = local.layout.secrets / "smtp-password"
    assert failure.value.hint == f"write it into `{path}` (mode 0600), then type the same again"
    path.write_text("what I know")
    await local.apply(mailer)
    assert await local.get("/env/PASSWORD_FILE") == str(path)
    assert path.read_text() == "what I know"


@pytest.mark.parametrize("name", ["desired", "observed", "ports"])
@pytest.mark.parametrize("text", ["", "{", '{"processes": {"hello-1": 1}, "x": "y"}'])
async def test_a_damaged_file_of_the_target_is_named_with_the_way_out_and_costs_no_process(
    local: Local, name: str, text: str
) -> None:
    await local.apply(local.hello())
    before = local.pids()
    path = local.layout.private / f"{name}.json"
    path.write_text(text)
    with pytest.raises(MachineError) as refused:
        await open_target("local", local.site).observe()
    assert refused.value.message.startswith(f"`{path}` is damaged: ")
    assert refused.value.hint == f"`rm {path}`, then type the same again: what it held is written again"
    path.unlink()
    await local.apply(local.hello())
    assert await local.state() == "ready"
    assert name == "desired" or local.pids() == before


async def test_a_copied_state_directory_neither_stops_nor_changes_the_platform_that_it_is_a_copy_of(
    local: Local, tmp_path: Path
) -> None:
    await local.apply(local.hello())
    before = local.pids()
    copy = tmp_path / "copied" / "state"
    shutil.copytree(local.site.state, copy)
    other = open_target("local", replace(local.site, state=copy))
    desired = Desired(Declaration((local.hello(),)), {"hello": "1"})
    for use in (other.observe(), other.apply(desired, local.said.append), other.remove(None, data=True)):
        with pytest.raises(PermanentError) as refused:
            await use
        original = local.site.state.resolve()
        assert refused.value.message == f"`{copy}` is a copy of `{original}`, whose platform it would change"
        assert refused.value.hint == f"`rm -r {copy / 'local'}`: the copy then gets a platform of its own"
    assert local.pids() == before
    shutil.rmtree(copy / "local")
    assert await other.observe() == {}


async def test_a_moved_state_directory_is_the_same_platform(local: Local, tmp_path: Path) -> None:
    await local.apply(local.hello())
    await local.target.remove(None)
    moved = tmp_path / "moved"
    local.site.state.rename(moved)
    other = open_target("local", replace(local.site, state=moved))
    try:
        await other.apply(Desired(Declaration((local.hello(),)), {"hello": "1"}), local.said.append)
        assert (await other.observe())["hello"].state == "ready"
    finally:
        await other.remove(None, data=True)
        local.site.state.mkdir()
