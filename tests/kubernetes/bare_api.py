"""The tests' own Kubernetes API with its controllers and without a node: objects can be made, and no pod runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from onenode import controllers
from onenode.api import Api, furnish, kubeconfig
from onenode.objects import Objects


@contextmanager
def bare_api(folder: Path) -> Iterator[Path]:
    """Serve an API from a thread of this process; yield its kubeconfig."""
    file, ready, loop = folder / "kubeconfig", Event(), asyncio.new_event_loop()

    async def run() -> None:
        objects = Objects()
        furnish(objects)
        runner, port = await Api(objects, {}).serve()
        file.write_text(kubeconfig(port))
        ready.set()
        try:
            await controllers.run(objects)
        finally:
            await runner.cleanup()

    running = loop.create_task(run())

    def live() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(running)

    thread = Thread(target=live)
    thread.start()
    assert ready.wait(10)
    try:
        yield file
    finally:
        loop.call_soon_threadsafe(running.cancel)
        thread.join()
        loop.close()
