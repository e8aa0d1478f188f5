"""The cluster as a process: `DOCKER_HOST=… python -m onenode KUBECONFIG`, with this folder's parent on PYTHONPATH.

It writes the file KUBECONFIG, prints a line that says so, and ends with its standard input or by SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from onenode import controllers
from onenode.api import Api, furnish, kubeconfig
from onenode.node.engine import Engine
from onenode.node.node import Node
from onenode.node.streams import Streams
from onenode.objects import Objects


async def _end() -> None:
    """Wait for the end of the input, or for a signal."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)

    def read() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(told.set)

    Thread(target=read, daemon=True).start()  # not in an executor, whose threads are waited for at the end
    await told.wait()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _main(file: Path) -> None:
    objects = Objects()
    furnish(objects)
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(prefix="stepflow-tests-")))
        root.chmod(0o711)  # noqa: ASYNC240 - nothing else runs yet; pods of any user find their volumes
        engine = Engine(os.environ["DOCKER_HOST"], f"cluster-{os.getpid()}")
        stack.push_async_callback(engine.close)
        node = Node(objects, engine, root)
        await node.join()
        streams = Streams(node, engine)
        runner, port = await Api(objects, {"log": streams.log, "portforward": streams.forward}).serve()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(
            _cancel, [asyncio.create_task(each) for each in (controllers.run(objects), node.run())]
        )
        file.write_text(kubeconfig(port))  # noqa: ASYNC240 - a few lines, once
        print(f"export KUBECONFIG={file}", flush=True)  # noqa: T201 - what the starting process waits for
        await _end()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
