"""Loads images from the engine into the nodes that lack them, and reports progress."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from stepflow.errors import MachineError
from stepflow.targets.contract import Progress
from stepflow.targets.converge import Say
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.kubernetes.loading.node_loaders import REGISTRY, NodeLoader, loaders
from stepflow.targets.kubernetes.loading.nodes import Node
from stepflow.targets.kubernetes.loading.tee import Reader, tee

_MEGABYTE = 1_000_000
_SAID = 10 * _MEGABYTE  # interval of progress reports


@dataclass(frozen=True, slots=True)
class Loading:
    """The nodes of a cluster, and whose turn it is to bring something there, for as long as a command runs."""

    engine: Engine
    nodes: tuple[Node, ...]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _loaders: dict[str, NodeLoader] = field(default_factory=dict)

    async def loaders(self) -> Mapping[str, NodeLoader]:
        """Find the way into each node; once. Raises `MachineError` where there is none."""
        async with self._turn:
            return await self._found()

    async def load(self, references: Collection[str], say: Say) -> tuple[str, ...]:
        """Have images, which the engine has by these references, in every node; return the nodes that lacked some.

        What a node has is left alone; what was cut off is done again: it is there only when all of it is. Nodes
        that lack the same get it from one archive. Raises `MachineError`, naming the node, when one does not take it,
        or there is no way into one.
        """
        if all(reference in node.images for node in self.nodes for reference in references):
            return ()
        async with self._turn:
            alike: defaultdict[tuple[str, ...], dict[str, NodeLoader]] = defaultdict(dict)
            for name, way in (await self._found()).items():
                alike[await asyncio.to_thread(way.lacks, references)][name] = way
            alike.pop((), None)
            for lacking, some in alike.items():
                await _bring(self.engine, some, lacking, say)
        return tuple(sorted(name for some in alike.values() for name in some))

    async def _found(self) -> Mapping[str, NodeLoader]:
        if not self._loaders:
            info = await self.engine.info()
            self._loaders.update(await asyncio.to_thread(loaders, self.nodes, self.engine, info))
        return self._loaders


async def _bring(engine: Engine, some: Mapping[str, NodeLoader], references: Sequence[str], say: Say) -> None:
    """Stream one archive of all images into nodes that lack the same."""
    loop, stop = asyncio.get_running_loop(), threading.Event()
    readers = {name: Reader() for name in some}

    def told(progress: Progress) -> None:
        loop.call_soon_threadsafe(say, progress)

    def take(name: str) -> tuple[int, str]:
        try:
            return some[name].take(readers[name].pieces())
        finally:
            readers[name].leave()

    source = _pieces(engine, tuple(some), references, told, stop)
    # Their own threads: asyncio's may be fewer than all that wait for each other here.
    pool = ThreadPoolExecutor(len(some) + 1, thread_name_prefix="load")
    try:
        feeding = loop.run_in_executor(pool, tee, source, readers.values())
        taken = await asyncio.gather(*(loop.run_in_executor(pool, take, name) for name in some))
        await feeding
    finally:
        stop.set()
        pool.shutdown(wait=False)
    for name, (code, said) in zip(some, taken, strict=True):
        if code:
            raise _failure(name, references, said)


def _pieces(
    engine: Engine, names: Sequence[str], references: Sequence[str], say: Say, stop: threading.Event
) -> Iterator[bytes]:
    where = f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names)}"
    what = ", ".join(reference.rpartition("/")[2] for reference in references)
    done = told = 0
    say(Progress(where, f"waiting for the archive of {what}"))
    for piece in engine.archive(references):
        if stop.is_set():
            raise InterruptedError
        yield piece
        done += len(piece)
        if done - told >= _SAID:
            told = done
            say(Progress(where, f"{what}: {done // _MEGABYTE} MB"))
    say(Progress(where, f"{what}: unpacking {done // _MEGABYTE} MB"))


def _failure(name: str, references: Sequence[str], said: str) -> MachineError:
    listed = " and ".join(f"`{reference}`" for reference in references)
    words = next((line for line in reversed(said.splitlines()) if line.strip()), "no output").strip()
    full = "no space left" in said
    hint = "free some space on the node" if full else f"`stepflow resume` retries; or {REGISTRY}"
    return MachineError(f"{listed} cannot be brought into the node `{name}`: {words}", hint=hint)
