"""A plan on this machine, followed by the run: what was printed is what was done, and nothing else."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import nats
import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets.addresses import server_url
from stepflow.targets.contract import Desired
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.targets.wholefile import write_whole
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
        there = self.files()
        printed = target.reconcile(desired, await target.observe())
        assert self.files() == there, "who only reads makes no file"
        done = await target.apply(desired, self.local.said.append)
        assert [str(each) for each in done] == [str(each) for each in printed]
        after = target.reconcile(desired, await target.observe())
        assert {each.verb for each in after} == {"keep"}, [str(each) for each in after]
        return [str(each) for each in printed if each.verb != "keep"]

    def files(self) -> set[str]:
        """The files of the target, but for those of the servers and of a write that is under way."""
        state = self.local.site.state
        found = {each.relative_to(state) for each in state.rglob("*") if not each.name.startswith(".")}
        return {str(each) for each in found if each.parts[0] != "data"}


async def test_a_first_run_then_scaling_in_both_directions(local: Local) -> None:
    planned = Planned(local)
    assert await planned.both(local.hello(), servers=(Server("nats"),)) == [
        "create   nats: it does not exist",
        "create   hello-1: it does not exist",
    ]
    assert await planned.both(local.hello(replicas=3)) == [
        "create   hello-2: 1 of 3 copies exist",
        "create   hello-3: 1 of 3 copies exist",
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
        "create   hello-2: 1 of 2 copies exist",
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


async def test_secrets_that_vanished_are_made_again_with_all_that_hold_them(local: Local) -> None:
    planned = Planned(local)
    files: dict[str, Value] = {"ADMIN_FILE": SecretFile("admin"), "NATS_URL_FILE": ServerFile("nats")}
    await planned.both(local.hello(env=files), local.hello("other"))
    for name in ("admin", "nats", "nats.url"):
        (local.layout.secrets / name).unlink()
    with pytest.raises(PermanentError, match="the secret `admin` is gone") as failed:
        local.target.live().secret(SecretFile("admin"))
    path = local.layout.secrets / "admin"
    assert failed.value.hint == (
        f"put `{path}` back, or `stepflow resume` makes another one (accounts made with the old one keep it)"
    )
    assert not path.exists()
    other = "is not the one that it started with"
    assert await planned.both(local.hello(env=files), local.hello("other")) == [
        f"replace  nats: its secret `nats` {other}",
        f"replace  hello-1 with hello-2: its secret `admin` {other}; its secret `nats.url` {other}",
    ]
    assert await _let_in(local, ServerFile("nats"))


async def test_passwords_of_postgresql_that_vanished_are_set_again_on_the_server(local: Local) -> None:
    planned = Planned(local)
    hello = local.hello(env={"DB": ServerFile("postgres", "users")})
    await planned.both(hello)
    await _ask(local, "CREATE TABLE kept AS SELECT 'row' AS what")
    for name in ("postgres", "postgres-users"):
        (local.layout.secrets / name).unlink()
    assert await planned.both(hello) == [
        "replace  postgres: its password, the secret `postgres`, is gone",
        "change   database-users: its password, the secret `postgres-users`, is gone",
        "replace  hello-1 with hello-2: its secret `postgres-users.url` is not the one that it started with",
    ]
    assert await _ask(local, "SELECT what FROM kept") == "row"
    (local.layout.secrets / "postgres").write_text("chosen by a person")
    assert await planned.both(hello) == ["replace  postgres: its password, the secret `postgres`, changed"]
    assert await planned.both(hello, servers=(Server("postgres", "orders"),)) == [
        "create   database-orders: it does not exist"
    ]


async def test_a_password_that_could_not_be_set_before_the_command_was_killed_is_set_by_the_next(local: Local) -> None:
    postgres = (Server("postgres", "users"),)
    await local.apply(servers=postgres)
    await local.target.remove(None)
    write_whole(local.layout.applied / "password", "")  # as it is between making another password and setting it
    (local.layout.secrets / "postgres").write_text("another")
    (local.layout.databases / "users").unlink()
    await local.apply(servers=postgres)
    assert await _ask(local, "SELECT 1") == 1


async def test_a_password_that_postgresql_does_not_accept_is_said_and_the_way_out_works(local: Local) -> None:
    await local.apply(servers=(Server("postgres", "users"),))
    shutil.rmtree(local.layout.applied)  # which version 0.1.0 did not have
    file = local.layout.secrets / "postgres"
    file.write_text("wrong")
    both = (Server("postgres", "users"), Server("postgres", "orders"))
    with pytest.raises(PermanentError) as refused:
        await local.apply(servers=both)
    assert refused.value.message == f"PostgreSQL does not accept the password in `{file}`"
    assert refused.value.hint == (
        f"put the right one there, or `rm {file}`, then `stepflow resume`: another password is made and set"
    )
    file.unlink()
    assert await Planned(local).both(servers=both) == [
        "replace  postgres: its password, the secret `postgres`, is gone",
        "create   database-orders: it does not exist",
    ]


async def test_a_database_that_was_dropped_is_made_again(local: Local) -> None:
    planned = Planned(local)
    hello = local.hello(env={"DB": ServerFile("postgres", "users")})
    await planned.both(hello)
    connection = await asyncpg.connect(_url(local, ServerFile("postgres")))
    await connection.execute("DROP DATABASE users WITH (FORCE)")
    await connection.close()
    assert await planned.both(hello) == [
        "create   database-users: it does not exist",
        "replace  hello-1 with hello-2: its database `users` is not the one that it started with",
    ]
    assert await _ask(local, "SELECT 1") == 1


async def test_settings_of_postgresql_that_were_edited_are_put_back(local: Local) -> None:
    planned = Planned(local)
    await planned.both(servers=(Server("postgres", "users"),))
    rules = local.layout.cluster / "pg_hba.conf"
    rules.write_text("host all all 127.0.0.1/32 trust\n")
    connection = await asyncpg.connect(_url(local, ServerFile("postgres")))
    await connection.execute("ALTER SYSTEM SET work_mem = '64MB'")
    await connection.close()
    found = (f"its file `{name}` was changed on disk" for name in ("postgresql.auto.conf", "pg_hba.conf"))
    assert await planned.both(servers=(Server("postgres", "users"),)) == [f"replace  postgres: {'; '.join(found)}"]
    assert await _ask(local, "SHOW work_mem") == "4MB"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(_url(local, ServerFile("postgres", "users")), password="wrong")


async def test_data_that_vanished_is_said_and_made_again(local: Local) -> None:
    planned = Planned(local)
    hello = local.hello(env={"DB": ServerFile("postgres", "users"), "DIR": DataDir("kept")}, data=("kept",))
    await planned.both(hello)
    shutil.rmtree(local.layout.data / "kept")
    shutil.rmtree(local.layout.cluster)
    assert await planned.both(hello) == [
        "replace  postgres: its data directory `postgres/cluster` is gone",
        "create   database-users: it does not exist",
        "replace  hello-1: its data directory `kept` is gone; its database `users` is not the one that it started with",
    ]
    assert (local.layout.data / "kept").is_dir()


async def test_a_rendered_folder_that_was_removed_is_planned_as_what_the_run_does_after_rendering_it_again(
    local: Local,
) -> None:
    planned = Planned(local)
    hello = local.hello()
    await planned.both(hello)
    folder = local.site.out / "hello"
    shutil.rmtree(folder)
    desired = Desired(Declaration((hello,)), {"hello": "1"}, (hello,))
    expected = [f"replace  hello-1 with hello-2: its folder `{folder}` was removed while it ran"]
    assert [str(each) for each in local.target.reconcile(desired, await local.target.observe())] == expected
    assert await planned.both(local.hello()) == expected
    shutil.rmtree(folder)
    with pytest.raises(PermanentError) as refused:
        await local.target.apply(desired, local.said.append)
    assert refused.value.message == f"the rendered folder `{folder}` of `hello` does not exist"


async def test_an_upgrade_into_another_environment_changes_nothing_until_the_former_one_is_removed(
    local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("former", "later"):
        venv.create(tmp_path / name)
    planned = Planned(local)
    await planned.both(local.hello("other"))  # its supervisor stays that of the tests' own environment
    monkeypatch.setattr(sys, "executable", str(tmp_path / "former" / "bin" / "python"))
    await planned.both(local.hello())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "later" / "bin" / "python"))
    pids = local.pids()
    assert await planned.both(local.hello()) == []
    assert local.pids() == pids
    shutil.rmtree(tmp_path / "former")
    assert await planned.both(local.hello()) == [
        f"replace  hello-1 with hello-2: its program `{tmp_path}/former/bin/python` is gone"
    ]


async def test_an_environment_is_made_where_something_starts_in_it_and_only_there(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    await local.apply(local.hello())
    project = b'[project]\nname = "hello"\nversion = "0"\ndependencies = ["no-such-thing==1"]\n'
    tree = {"hello/pyproject.toml": project}
    same, other = (Desired(Declaration((local.hello(),)), {"hello": each}, tree=tree) for each in "12")
    (local.site.out / "hello" / "pyproject.toml").write_bytes(project)
    assert [str(each) for each in local.target.reconcile(same, await local.target.observe())] == [
        "keep     hello-1: unchanged and ready"
    ]
    assert [str(each) for each in await local.target.apply(same, local.said.append)] == [
        "keep     hello-1: unchanged and ready"
    ]
    assert [str(each) for each in local.target.reconcile(other, await local.target.observe())] == [
        "build    environment of hello: stepflow's own does not have `no-such-thing==1`",
        "replace  hello-1 with hello-2: what it is made from changed",
    ]
    with pytest.raises(PermanentError, match="`no-such-thing==1` cannot be installed"):
        await local.target.apply(other, local.said.append)


def _url(local: Local, file: ServerFile) -> str:
    url = server_url(file, HOST, local.store.desired()[file.kind].ports[file.kind])
    return f"{url.before}{secret_text(local.layout.secrets, url.secret)}{url.after}"


async def _ask(local: Local, statement: str) -> object:
    """Ask the database `users` as its own role."""
    connection = await asyncpg.connect(_url(local, ServerFile("postgres", "users")))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def _let_in(local: Local, file: ServerFile) -> bool:
    client = await nats.connect(_url(local, file))
    await client.close()
    return True
