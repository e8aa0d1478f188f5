"""A platform of the local target in a directory of its own, taken down whatever a test did to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest

from stepflow.handoff import ConfigFile, Endpoint
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Progress, Site, Target
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.store import Store
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

T = TypeVar("T")
PATIENCE = 60.0  # seconds; long, as it costs nothing where the answer comes soon, and a machine may be busy
HELLO = Path(__file__).parents[1] / "data" / "hello"


@dataclass
class Local:
    """A platform under test."""

    site: Site
    target: Target
    said: list[Progress] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return Layout(self.site.state)

    @property
    def store(self) -> Store:
        return Store(self.layout)

    def hello(self, name: str = "hello", **changes: Any) -> Workload:  # noqa: ANN401 - whatever a Workload takes
        """A workload of the service in tests/data, rendered under its name."""
        shutil.copytree(HELLO, self.site.out / name, dirs_exist_ok=True)
        changes.setdefault("ready", HttpProbe("/", deadline=90))
        return Workload(name, ("python", "-m", "service"), context=name, **changes)

    @staticmethod
    def gateway() -> Workload:
        """Envoy in front of `hello`."""
        return _gateway()

    async def apply(self, *workloads: Workload, servers: tuple[Server, ...] = (), digest: str = "1") -> None:
        declaration = Declaration(workloads, servers)
        digests = dict.fromkeys((w.name for w in workloads), digest)
        await self.target.apply(Desired(declaration, digests), self.said.append)

    async def get(self, path: str = "/", workload: str = "hello") -> str:
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            answer = await http.get(self.target.live().url(Endpoint(workload, path=path)))
        return answer.text

    async def state(self, name: str = "hello") -> str:
        observed = (await self.target.observe()).get(name)
        return observed.state if observed else "unknown"

    async def until(self, state: str, name: str = "hello", within: float = PATIENCE) -> None:
        async with asyncio.timeout(within):
            while True:
                if await self.state(name) == state:
                    return
                await asyncio.sleep(0.02)

    @staticmethod
    async def when(condition: Callable[[], T], within: float = PATIENCE) -> T:
        """Wait until a condition holds, and give what it gave."""
        async with asyncio.timeout(within):
            while True:
                if result := condition():
                    return result
                await asyncio.sleep(0.02)

    def kill_pair(self) -> None:
        """Kill the supervisor and its guardian, neither quick enough to replace the other; Linux ends the rest."""
        seen = self.store.observed()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (seen.guardian, seen.supervisor):
                os.kill(pid, number)

    def pids(self) -> dict[str, int]:
        """The living processes of the platform by name."""
        seen = self.store.observed()
        named = {name: status.pid for name, status in seen.processes.items()}
        return {name: pid for name, pid in named.items() if living(pid)}

    def processes(self) -> list[int]:
        """Every living process that works on this platform, known to the supervisor or not."""
        mark = str(self.site.state.parent)
        found = []
        for process in psutil.process_iter():
            words: list[str] = []
            with suppress(psutil.Error):
                words += process.cmdline()
                words += process.environ().values()
            if process.pid != os.getpid() and any(mark in word for word in words) and living(process.pid):
                found.append(process.pid)
        return found


def living(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be reaped does not."""
    with suppress(psutil.NoSuchProcess):
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
async def platforms(tmp_path: Path) -> AsyncIterator[Callable[[str], Local]]:
    """Makes platforms by name; all of them are gone in the end, and no process is left."""
    made: list[Local] = []

    def make(name: str) -> Local:
        root = (tmp_path / name).resolve()
        site = Site(name, root / "state", root / "out")
        site.out.mkdir(parents=True)
        made.append(Local(site, open_target("local", site)))
        return made[-1]

    yield make
    for local in made:
        await local.target.remove(None, data=True)
        assert local.processes() == []
        assert [path.name for path in local.site.state.glob("*")] == []


@pytest.fixture
def local(platforms: Callable[[str], Local]) -> Local:
    """One platform."""
    return platforms("one")


def _gateway() -> Workload:
    def socket(workload: str, port: str) -> dict[str, Any]:
        host, number = Endpoint(workload, port, "bind"), Endpoint(workload, port, "port")
        return {"address": {"socket_address": {"address": host, "port_value": number}}}

    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    network = "type.googleapis.com/envoy.extensions.filters.network"
    manager = {
        "@type": f"{network}.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "hello"}}]}
            ]
        },
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "http", **socket("gateway", "http"), "filter_chains": [{"filters": filters}]}
    endpoints = [{"lb_endpoints": [{"endpoint": socket("hello", "http")}]}]
    cluster = {"name": "hello", "type": "STATIC", "load_assignment": {"cluster_name": "hello", "endpoints": endpoints}}
    boot: Any = {
        "admin": socket("gateway", "admin"),
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
    return Workload(
        "gateway",
        ("envoy", "-c", ConfigFile("envoy.json")),
        HttpProbe("/ready", port="admin", deadline=90),
        ports=(Port("http", 8080, env="", published=True), Port("admin", 9901, env="")),
        configs={"envoy.json": boot},
        needs=("hello",),
    )
