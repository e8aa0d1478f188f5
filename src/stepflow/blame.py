"""The border between stepflow and its plugins: what goes wrong beyond it is blamed on the plugin, by name.

Each call of a playbook or target stands in a `with blaming(...)`. The errors of `stepflow.errors` are part of the
contract and pass as they are, and so does what ends a run from outside.
"""

from __future__ import annotations

import errno
from asyncio import CancelledError
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeVar

from stepflow.errors import PermanentError, StepflowError

Kind = Literal["playbook", "target"]
GROUPS: Mapping[Kind, str] = {"playbook": "stepflow.playbooks", "target": "stepflow.targets"}
"""Kind of plugin -> its entry-point group."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_LIMITS = FULL | {errno.EMFILE, errno.ENFILE, errno.EFBIG}
OUTSIDE = (KeyboardInterrupt, CancelledError, GeneratorExit)
"""What ends a run, or a coroutine, from outside: not the fault of the code in which it is raised."""

T = TypeVar("T")


class PluginError(PermanentError):
    """A plugin broke its contract. The cause is what it raised: the traceback for its report."""


@contextmanager
def blaming(kind: Kind, name: str, where: str) -> Iterator[None]:
    """Raise `PluginError` for whatever the plugin raises beside the errors of its contract; a full disk, or another
    limit of the machine, is not its fault. `where` is the end of "the playbook `x` failed ...".
    """
    try:
        yield
    except (StepflowError, *OUTSIDE):
        raise
    except BaseException as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _LIMITS):
            raise
        raise PluginError(f"{called(kind, name)} failed {where}: {words(error)}", hint=bug_of(kind, name)) from error


def called(kind: Kind, name: str) -> str:
    """Return how a plugin is called in a sentence, with its distribution where that is known."""
    package = _package(kind, name)
    return f"the {kind} `{name}`" + (f" of `{package}`" if package else "")


def bug_of(kind: Kind, name: str) -> str:
    """Return the hint for a plugin that broke its contract."""
    package = _package(kind, name)
    return f"it is a bug of `{package}`" if package else f"it is a bug of the package that brings `{name}`"


def words(error: BaseException) -> str:
    """Return an exception in words: its type, and what it says."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def expect(value: object, kind: type[T], what: str) -> T:
    """Return what a plugin returned from `what`. Raises `TypeError` when it is of another type."""
    if not isinstance(value, kind):
        raise TypeError(f"`{what}` returned {_told(value)}, not a `{kind.__name__}`")
    return value


def every(values: object, kind: type[T], what: str) -> tuple[T, ...]:
    """Return the values that a plugin returned from `what`. Raises `TypeError` when one is of another type."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"`{what}` returned {_told(values)}, not a tuple of `{kind.__name__}`")
    return tuple(expect(each, kind, f"{what}[{place}]") for place, each in enumerate(values))


def files(value: object, what: str) -> dict[str, bytes]:
    """Return the files that a plugin returned from `what`, by path. Raises `TypeError` when it returned others."""
    tree: Mapping[object, object] = expect(value, Mapping, what)  # type: ignore[type-abstract]
    return {expect(path, str, f"{what} key"): expect(text, bytes, f"{what}[{path!r}]") for path, text in tree.items()}


def _told(value: object) -> str:
    return "None" if value is None else f"a `{type(value).__name__}`"


def _package(kind: Kind, name: str) -> str:
    """Return the distribution that brings a plugin; "" for one that is not installed as one."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - only what fails asks

    found = (entry.dist for entry in entry_points(group=GROUPS[kind]) if entry.name == name)
    return next((dist.name for dist in found if dist), "")
