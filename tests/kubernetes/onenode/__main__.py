"""The cluster as a process: `DOCKER_HOST=… python -m onenode KUBECONFIG`, with this folder on PYTHONPATH.

It writes the file KUBECONFIG, says so in a line, and ends with its standard input or by SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import yaml
from aiohttp import web

from onenode.api import Api
from onenode.objects import Objects
from onenode.store import Store

CONTEXT = "stepflow-tests"


async def _serve(api: Api) -> tuple[web.AppRunner, int]:
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, int(runner.addresses[0][1])


def _kubeconfig(port: int) -> str:
    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "admin", "user": {"token": "admin"}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}],
    })  # fmt: skip


def _furnish(objects: Objects) -> None:
    """Make what every cluster has."""
    for name in ("default", "kube-system"):
        objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "cluster")


async def _end() -> None:
    """Wait for the end of the input, or for a signal."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)
    loop.run_in_executor(None, lambda: (sys.stdin.buffer.read(), loop.call_soon_threadsafe(told.set)))
    await told.wait()


async def _main(kubeconfig: Path) -> None:
    objects = Objects(Store())
    _furnish(objects)
    async with AsyncExitStack() as stack:
        runner, port = await _serve(Api(objects, {}))
        stack.push_async_callback(runner.cleanup)
        kubeconfig.write_text(_kubeconfig(port))
        print(f"export KUBECONFIG={kubeconfig}", flush=True)  # noqa: T201 - what who started it waits for
        await _end()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
