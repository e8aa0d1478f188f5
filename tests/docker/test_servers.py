"""The servers in containers are real, keep what they are given, and let in only who holds the secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import asyncpg
import docker
import nats
import pytest
import valkey.asyncio as valkey

from stepflow.handoff import Endpoint, ServerFile
from stepflow.targets import addresses, open_target
from stepflow.targets.addresses import CLIENT_PORTS
from stepflow.targets.contract import Desired, Site, Target
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Declaration, Server, ServerKind

pytestmark = pytest.mark.docker
ALL = (Server("nats"), Server("postgres", "users"), Server("postgres", "orders"), Server("valkey"))
SECRETS = ("nats", "postgres", "postgres-orders", "postgres-users", "valkey")


class Servers:
    """A platform of servers alone, seen from the host."""

    def __init__(self, state: Path) -> None:
        self.secrets = state / "secrets"
        self.target: Target = open_target("docker", Site("servers", state, state.parent / "out"))

    async def apply(self, *servers: Server) -> None:
        await self.target.apply(Desired(Declaration((), servers or ALL)), lambda _: None)

    async def handles(self) -> dict[str, str]:
        return {name: each.handles[0] for name, each in (await self.target.observe()).items()}

    def url(self, kind: ServerKind, database: str = "") -> str:
        address = self.target.live().url(Endpoint(kind, kind, part="address"))
        url = addresses.server_url(ServerFile(kind, database), "127.0.0.1", int(address.rpartition(":")[2]))
        return f"{url.before}{secret_text(self.secrets, url.secret)}{url.after}"


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """Start all servers, and leave nothing."""
    (tmp_path / "out").mkdir()
    platform = Servers(tmp_path / "state")
    try:
        await platform.apply()
        yield platform
    finally:
        await platform.target.remove(None, data=True)


async def test_each_database_has_a_role_that_may_enter_no_other(servers: Servers) -> None:
    users = servers.url("postgres", "users")
    connection = await asyncpg.connect(users)
    assert await connection.fetchval("SELECT current_user || '@' || current_database()") == "users@users"
    await connection.close()
    for other in ("orders", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f'permission denied for database "{other}"'):
            await asyncpg.connect(f"{users.removesuffix('users')}{other}")


async def test_no_server_lets_anybody_in_without_the_password(servers: Servers) -> None:
    wrong = {kind: servers.url(kind).replace(secret_text(servers.secrets, kind), "wrong") for kind in CLIENT_PORTS}
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong["postgres"])
    reader, writer = await asyncio.open_connection("127.0.0.1", int(wrong["nats"].rpartition(":")[2]))
    writer.write(b'CONNECT {"verbose": true, "user": "stepflow", "pass": "wrong"}\r\nPING\r\n')
    assert b"-ERR 'Authorization Violation'" in await reader.read()
    writer.close()
    async with valkey.Valkey.from_url(wrong["valkey"]) as client:
        with pytest.raises(valkey.AuthenticationError):
            await client.get("a")


async def test_what_they_hold_survives_kill_9_and_down(servers: Servers, docker_client: docker.DockerClient) -> None:
    await _write(servers)
    for handle in (await servers.handles()).values():
        docker_client.containers.get(handle).kill()
    await servers.apply()
    await _read(servers)
    await servers.target.remove(None)
    assert await servers.target.observe() == {}
    await servers.apply()
    await _read(servers)


async def test_a_database_that_is_declared_later_is_made_and_the_servers_stay(servers: Servers) -> None:
    before = await servers.handles()
    assert set(before) == set(get_args(ServerKind))
    await servers.apply(Server("postgres", "payments"))
    connection = await asyncpg.connect(servers.url("postgres", "payments"))
    await connection.close()
    assert await servers.handles() == before


async def test_no_password_is_anywhere_but_in_files(servers: Servers, docker_client: docker.DockerClient) -> None:
    secrets = [secret_text(servers.secrets, name) for name in SECRETS]
    mark = {"label": f"dev.stepflow.state={servers.secrets.parent}"}
    containers = docker_client.containers.list(all=True, filters=mark)
    assert len(containers) == len(CLIENT_PORTS) + 2  # and the two that made databases
    shown = [json.dumps(each.attrs) for each in containers] + [each.logs().decode() for each in containers]
    shown += [json.dumps(each.top()) for each in containers if each.status == "running"]
    assert [secret for secret in secrets for text in shown if secret in text] == []


async def _write(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.url("postgres", "users"))
    await connection.execute("CREATE TABLE kept (what text); INSERT INTO kept VALUES ('row')")
    await connection.close()
    client = await nats.connect(servers.url("nats"))
    stream = client.jetstream()
    await stream.add_stream(name="kept", subjects=["kept.>"])
    await stream.publish("kept.it", b"message")
    await client.close()
    async with valkey.Valkey.from_url(servers.url("valkey")) as cache:
        await cache.set("kept", "value")
        await cache.execute_command("WAITAOF", 1, 0, 1000)


async def _read(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.url("postgres", "users"))
    assert await connection.fetchval("SELECT what FROM kept") == "row"
    await connection.close()
    client = await nats.connect(servers.url("nats"))
    assert (await client.jetstream().get_last_msg("kept", "kept.it")).data == b"message"
    await client.close()
    async with valkey.Valkey.from_url(servers.url("valkey")) as cache:
        assert await cache.get("kept") == b"value"
