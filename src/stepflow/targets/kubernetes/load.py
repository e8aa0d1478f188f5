"""Brings images from the engine into the nodes, each of which gets what it lacks, and says how far that is."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stepflow.errors import MachineError
from stepflow.targets import Progress
from stepflow.targets.engine.client import Engine
from stepflow.targets.kubernetes.nodes import Node
from stepflow.targets.kubernetes.ways import REGISTRY, Way, ways
from stepflow.targets.together import together

_MEGABYTE = 1_000_000
_SAID = 10 * _MEGABYTE  # so often it is said how far it is
_Say = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Loading:
    """The nodes of a cluster, and whose turn it is to bring something into one, for as long as a command runs."""

    engine: Engine
    nodes: tuple[Node, ...]
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _ways: dict[str, Way] = field(default_factory=dict)

    async def ways(self) -> Mapping[str, Way]:
        """Find the way into each node; once. Raises `MachineError` where there is none."""
        async with self._turns[""]:
            if not self._ways:
                info = await self.engine.info()
                self._ways.update(await asyncio.to_thread(ways, self.nodes, self.engine, info))
        return self._ways

    async def load(self, references: Collection[str], say: _Say) -> tuple[str, ...]:
        """Have images, which the engine has by these references, in every node; gives the nodes that lacked some.

        What a node has is left alone; what was cut off is done again, for it is there only when all of it is. Raises
        `MachineError`, naming the node, when one does not take it, or there is no way into one.
        """
        brought: list[str] = []
        if not all(reference in node.images for node in self.nodes for reference in references):
            found = await self.ways()
            await together(*(self._into(name, way, references, brought, say) for name, way in found.items()))
        return tuple(sorted(brought))

    async def _into(self, name: str, way: Way, references: Collection[str], brought: list[str], say: _Say) -> None:
        async with self._turns[name]:
            lacking = await asyncio.to_thread(way.lacks, references)
            if lacking:
                await _bring(self.engine, name, way, lacking, say)
                brought.append(name)


async def _bring(engine: Engine, name: str, way: Way, references: Sequence[str], say: _Say) -> None:
    """Stream one archive of all images into one node."""
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def told(progress: Progress) -> None:
        loop.call_soon_threadsafe(say, progress)

    def work() -> tuple[int, str]:
        return way.take(_pieces(engine, name, references, told, stop))

    try:
        code, said = await asyncio.to_thread(work)
    except asyncio.CancelledError:
        stop.set()
        raise
    if code:
        raise _failure(name, references, said)


def _pieces(engine: Engine, name: str, references: Sequence[str], say: _Say, stop: threading.Event) -> Iterator[bytes]:
    what = ", ".join(reference.rpartition("/")[2] for reference in references)
    done = told = 0
    say(Progress(f"node {name}", f"gets {what}"))
    for piece in engine.archive(references):
        if stop.is_set():
            raise InterruptedError
        yield piece
        done += len(piece)
        if done - told >= _SAID:
            told = done
            say(Progress(f"node {name}", f"gets {what}: {done // _MEGABYTE} MB"))
    say(Progress(f"node {name}", f"unpacks {what}: {done // _MEGABYTE} MB"))


def _failure(name: str, references: Sequence[str], said: str) -> MachineError:
    listed = " and ".join(f"`{reference}`" for reference in references)
    words = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing").strip()
    full = "no space left" in said
    hint = "free some space on the node" if full else f"`stepflow resume` tries again; or {REGISTRY}"
    return MachineError(f"{listed} cannot be brought into the node `{name}`: {words}", hint=hint)
