"""The backing servers are real, keep what they are given, and let in only who holds the secret."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from typing import TYPE_CHECKING

import asyncpg
import nats
import psutil
import pytest
import valkey.asyncio as valkey

from stepflow.handoff import ConfigFile, DataDir, ServerFile
from stepflow.targets.addresses import server_url
from stepflow.targets.ports import HOST, free
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.conftest import Local

pytestmark = pytest.mark.platform
ALL = (Server("nats"), Server("postgres", "users"), Server("postgres", "orders"), Server("valkey"))


def _url(local: Local, file: ServerFile) -> str:
    url = server_url(file, HOST, local.store.desired()[file.kind].ports[file.kind])
    return f"{url.before}{secret_text(local.layout.secrets, url.secret)}{url.after}"


async def test_each_database_has_a_role_that_may_enter_no_other(local: Local) -> None:
    await local.apply(servers=ALL)
    users = _url(local, ServerFile("postgres", "users"))
    connection = await asyncpg.connect(users)
    assert await connection.fetchval("SELECT current_user || '@' || current_database()") == "users@users"
    await connection.close()
    for other in ("orders", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f'permission denied for database "{other}"'):
            await asyncpg.connect(f"{users.removesuffix('users')}{other}")


async def test_no_server_lets_anybody_in_without_the_password(local: Local) -> None:
    await local.apply(servers=ALL)
    ports = {name: process.ports for name, process in local.store.desired().items()}
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://users:wrong@127.0.0.1:{ports['postgres']['postgres']}/users")
    reader, writer = await asyncio.open_connection("127.0.0.1", ports["nats"]["nats"])
    writer.write(b'CONNECT {"verbose": true}\r\nPING\r\n')
    assert b"-ERR 'Authorization Violation'" in await reader.read()
    writer.close()
    async with valkey.Valkey(port=ports["valkey"]["valkey"]) as client:
        with pytest.raises(valkey.AuthenticationError):
            await client.get("a")


async def test_what_the_servers_hold_survives_kill_9_and_down(local: Local) -> None:
    await local.apply(servers=ALL)
    await _write(local)
    for name in ("nats", "postgres", "valkey"):
        os.kill(pid := local.pids()[name], signal.SIGKILL)
        await local.when(lambda it=name, was=pid: local.pids().get(it) not in {None, was})
        await local.until("ready", name)
    await _read(local)
    assert sorted(await local.target.remove(None)) == ["nats", "postgres", "valkey"]
    await local.apply(servers=ALL)
    await _read(local)


async def test_a_server_that_is_removed_by_name_comes_back_with_its_data(local: Local) -> None:
    await local.apply(servers=ALL)
    await _write(local)
    assert sorted(await local.target.remove(("nats", "postgres", "valkey"))) == ["nats", "postgres", "valkey"]
    assert local.pids() == {}
    await local.apply(servers=ALL)
    await _read(local)


async def test_a_database_that_is_declared_later_is_made_and_the_others_stay(local: Local) -> None:
    await local.apply(servers=(Server("postgres", "users"),))
    pid = local.pids()["postgres"]
    await local.apply(servers=(Server("postgres", "orders"),))
    for name in ("users", "orders"):
        connection = await asyncpg.connect(_url(local, ServerFile("postgres", name)))
        await connection.close()
    assert local.pids()["postgres"] == pid


async def test_no_password_is_on_a_command_line_in_an_environment_or_in_a_log(local: Local) -> None:
    used = (ServerFile("nats"), ServerFile("valkey"), ServerFile("postgres", "users"))
    files = {f"{file.kind}_FILE": file for file in used}
    await local.apply(local.hello(env=files), servers=ALL)
    secrets = [file.read_text() for file in local.layout.secrets.glob("*") if file.suffix != ".url"]
    assert len(secrets) == 5
    shown = [word for pid in local.processes() for word in psutil.Process(pid).cmdline()]
    shown += [word for pid in local.pids().values() for word in psutil.Process(pid).environ().values()]
    shown += [log.read_text() for log in local.layout.logs.glob("*.log")]
    shown += [local.layout.desired.read_text(), local.layout.observed.read_text()]
    assert [secret for secret in secrets for text in shown if secret in text] == []


async def test_secrets_and_configurations_are_readable_by_their_owner_alone(local: Local) -> None:
    await local.apply(servers=ALL)
    folders = (local.layout.secrets, local.layout.private, local.layout.configs, local.layout.logs)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    files = [*local.layout.secrets.glob("*"), *(f for f in local.layout.configs.rglob("*") if f.is_file())]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_two_platforms_side_by_side_do_not_meet(platforms: Callable[[str], Local]) -> None:
    one, two = platforms("one"), platforms("two")
    for platform in (one, two):
        await platform.apply(platform.hello(), servers=(Server("nats"),))
    numbers = [set(json.loads(platform.layout.ports.read_text()).values()) for platform in (one, two)]
    assert numbers[0].isdisjoint(numbers[1])
    await one.target.remove(None, data=True)
    assert await two.get() == "hello-1"
    assert await two.state("nats") == "ready"


async def test_they_listen_on_this_machine_only(local: Local) -> None:
    await local.apply(local.hello(), servers=ALL)
    listening = {
        connection.laddr.ip
        for pid in local.pids().values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


async def test_removing_everything_leaves_no_process_and_no_port(local: Local) -> None:
    await local.apply(local.hello(), servers=ALL)
    ports = json.loads(local.layout.ports.read_text())
    assert await local.target.remove(None) == ("hello", "nats", "postgres", "valkey")
    assert local.processes() == []
    assert [number for number in ports.values() if not free(number)] == []
    assert json.loads(local.layout.ports.read_text()) == ports
    assert "cluster" in [path.name for path in local.layout.data.glob("postgres/*")]
    assert await local.target.remove(None) == ()


async def _write(local: Local) -> None:
    connection = await asyncpg.connect(_url(local, ServerFile("postgres", "users")))
    await connection.execute("CREATE TABLE kept (what text); INSERT INTO kept VALUES ('row')")
    await connection.close()
    client = await nats.connect(_url(local, ServerFile("nats")))
    stream = client.jetstream()
    await stream.add_stream(name="kept", subjects=["kept.>"])
    await stream.publish("kept.it", b"message")
    await client.close()
    async with valkey.Valkey.from_url(_url(local, ServerFile("valkey"))) as cache:
        await cache.set("kept", "value")
        await cache.execute_command("WAITAOF", 1, 0, 1000)


async def _read(local: Local) -> None:
    connection = await asyncpg.connect(_url(local, ServerFile("postgres", "users")))
    assert await connection.fetchval("SELECT what FROM kept") == "row"
    await connection.close()
    client = await nats.connect(_url(local, ServerFile("nats")))
    assert (await client.jetstream().get_last_msg("kept", "kept.it")).data == b"message"
    await client.close()
    async with valkey.Valkey.from_url(_url(local, ServerFile("valkey"))) as cache:
        assert await cache.get("kept") == b"value"


async def test_everything_runs_in_a_directory_of_any_name(platforms: Callable[[str], Local]) -> None:
    local = platforms("ü b 'q\" $x \\ %s #1")
    files = {"NATS_URL_FILE": ServerFile("nats"), "VALKEY_URL_FILE": ServerFile("valkey"), "DIR": DataDir("kept")}
    hello = local.hello(env={**files, "CONFIG": ConfigFile("c.json")}, configs={"c.json": {"in": DataDir("kept")}})
    await local.apply(hello, servers=ALL)
    assert {name: each.state for name, each in (await local.target.observe()).items()} == dict.fromkeys(
        ("hello", "nats", "postgres", "valkey"), "ready"
    )
    assert await local.get("/env/DIR") == str(local.layout.data / "kept")
