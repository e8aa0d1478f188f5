"""Port numbers: chosen once, kept in the platform's file, on 127.0.0.1 only."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator
from typing import NamedTuple

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.spec import read_json
from stepflow.targets.ports import by, free
from stepflow.targets.wholefile import write_whole

LOWEST, HIGHEST = 20000, 32000  # below what kernels hand out for outgoing connections (from 32768, 49152 on macOS)

TAKEN = "end that process, or `stepflow down` first: another port is chosen when nothing of the platform runs"


class Chosen(NamedTuple):
    """A port number, and what a person should know of it ("" when nothing)."""

    number: int
    remark: str = ""


def choose(layout: Layout, key: str, wish: int | None = None, *, had: int | None = None) -> Chosen:
    """Return the port kept under this key, or choose one: the wish or the next free one, without a wish a random one.

    `had` is the port that a running process of this key listens on: it stays, though the file that kept it is gone.
    Raises `PermanentError` when none is free.
    """
    with layout.locked("ports"):
        kept = read(layout)
        if key in kept:
            return Chosen(kept[key])
        others = set(kept.values())
        chosen = had or next((number for number in _candidates(wish) if number not in others and free(number)), None)
        if chosen is None:
            raise PermanentError(f"no free port for `{key}`", hint="end something that listens, then run again")
        write_whole(layout.ports, json.dumps({**kept, key: chosen}, indent=1, sort_keys=True))
    if wish in {None, chosen} or had:
        return Chosen(chosen)
    return Chosen(chosen, f"port {wish} is taken{by(wish)}: `{key}` gets {chosen} instead")


def forget_taken(layout: Layout, numbers: Collection[int]) -> None:
    """Have other ports chosen for those of these that another program took."""
    with layout.locked("ports"):
        kept = read(layout)
        good = {key: number for key, number in kept.items() if number not in numbers or free(number)}
        write_whole(layout.ports, json.dumps(good, indent=1, sort_keys=True))


def read(layout: Layout) -> dict[str, int]:
    """Return all ports of a platform by key."""
    return read_json(layout.ports, lambda raw: {str(key): int(number) for key, number in raw.items()})


def demand(number: int, owner: str) -> None:
    """Raise `PermanentError` that names the process which has it when a port that `owner` needs is taken."""
    if not free(number):
        raise PermanentError(
            f"port {number} of `{owner}` is taken{by(number)}",
            hint=TAKEN,
        )


def yield_to(layout: Layout, number: int, owner: str) -> None:
    """Choose another port for a process that never ran when another program was quicker; raise `TemporaryError`.

    Two platforms that start at once find the same port free. This one's address is not in use yet, so it may change;
    there is one at any time, for what is defined in the meantime and refers to it.
    """
    if free(number):
        return
    with layout.locked("ports"):
        kept = read(layout)
        others = set(kept.values())
        candidates = _candidates(number if number < LOWEST else None)
        another = next((each for each in candidates if each not in others and free(each)), None)
        changed = {key: another if value == number and another else value for key, value in kept.items()}
        write_whole(layout.ports, json.dumps(changed, indent=1, sort_keys=True))
    gets = f"; it gets {another}" if another else ""
    raise TemporaryError(f"port {number} of `{owner}` was taken{by(number)} before it could listen{gets}", delay=0.0)


def _candidates(wish: int | None) -> Iterator[int]:
    if wish is not None:
        yield from range(wish, min(wish + 200, 65536))
    yield from random.sample(range(LOWEST, HIGHEST), 200)
