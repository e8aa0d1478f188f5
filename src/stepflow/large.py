"""Large values of handoffs: each is kept once, in a file that is called like the digest of its JSON, and loaded on use.

A handoff, and what a job wrote of it, is an object of JSON. A value in it whose canonical JSON is longer than `LIMIT`
is large: text or a list by itself, an object when it is still longer than that with its large members left out. The
record of a step, and what it means to those that take it, hold the digest in its place.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, model_serializer
from pydantic_core import PydanticSerializationError

from stepflow.durable import write_durably
from stepflow.errors import MachineError

LIMIT = 65536  # bytes of canonical JSON
DIGEST = "sha256:"
"""Begins a digest in place of a value: no JSON begins like that."""
_MARK = secrets.token_hex(16)  # the key of a digest in a dumped model: no document can have it
_SHORT = len(DIGEST) + 64  # what a large value counts for in the object that it is in
JsonValue = Any
"""A value of JSON."""
Place = tuple[str, ...]
"""The keys that lead to a value."""
Fold = Callable[[Place, JsonValue], JsonValue]
"""Called with the place of a large value and the value; returns what stands in its place."""


class Large(BaseModel):
    """A large value that is in a file. A model that has it in a field of any type is dumped with the value."""

    model_config = ConfigDict(frozen=True)
    digest: str
    folder: Path

    def load(self) -> JsonValue:
        """Return the value. Raises `MachineError` when its file is gone or damaged."""
        path = self.folder / self.digest
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _lost(path, error.strerror or str(error)) from error
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise _lost(path, "it does not hold what was written there")
        return json.loads(content)

    @model_serializer(mode="plain")
    def _serialised(self, info: SerializationInfo) -> JsonValue:
        if not isinstance(info.context, Digests):
            return self.load()
        info.context.found[self.digest] = self
        return {_MARK: self.digest}


@dataclass(frozen=True, slots=True)
class Digests:
    """The context with which a model is dumped so that large values stay unloaded, and those that it met."""

    found: dict[str, Large] = field(default_factory=dict)

    def digest(self, value: JsonValue) -> str:
        """Return the digest of a large value of the dumped model."""
        if isinstance(value, dict) and _MARK in value:
            return str(value[_MARK])
        return hashlib.sha256(canonical(self.loaded(value)).encode()).hexdigest()

    def loaded(self, value: JsonValue) -> JsonValue:
        """Return a value of the dumped model with what is in files."""
        if not isinstance(value, dict):
            return value
        if _MARK in value:
            return self.found[value[_MARK]].load()
        return {key: self.loaded(each) for key, each in value.items()}


class LazyObject(dict[str, Any]):
    """A JSON object whose large members are loaded when they are read, each time again."""

    def __getitem__(self, key: str) -> JsonValue:
        value = super().__getitem__(key)
        return value.load() if isinstance(value, Large) else value

    def __iter__(self) -> Iterator[str]:  # so that `dict(values)` and `{**values}` ask for the members
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict) or self.keys() != other.keys():
            return NotImplemented if not isinstance(other, dict) else False
        return all(_equal(each, dict.__getitem__(other, key)) for key, each in dict.items(self))

    __hash__ = None

    def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """Return a member, loaded."""
        return self[key] if key in self else default  # noqa: SIM401 - it is this method

    def copy(self) -> dict[str, Any]:
        """Return a plain object with all that is in it, loaded."""
        return dict(self)

    def values(self) -> Any:  # noqa: ANN401 - a view would show what is not loaded
        """Return the members, loaded one after the other."""
        return (self[key] for key in self)

    def items(self) -> Any:  # noqa: ANN401 - likewise
        """Return keys and members, loaded one after the other."""
        return ((key, self[key]) for key in self)


class LargeObject(Mapping[str, Any]):
    """A JSON object that is large itself, loaded when something in it is read."""

    def __init__(self, large: Large) -> None:
        """Load nothing yet."""
        self.large = large

    def __getitem__(self, key: str) -> JsonValue:
        return self.large.load()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.large.load())

    def __len__(self) -> int:
        return len(self.large.load())


def _equal(one: JsonValue, other: JsonValue) -> bool:
    if isinstance(one, Large) and isinstance(other, Large):
        return one.digest == other.digest
    one, other = (each.load() if isinstance(each, Large) else each for each in (one, other))
    return bool(one == other)


def dumped(handoff: BaseModel) -> dict[str, Any]:
    """Return a handoff as JSON with all that is in it. Raises `MachineError` for a large value that cannot be read."""
    try:
        return handoff.model_dump(mode="json")
    except PydanticSerializationError as error:
        if isinstance(error.__cause__, MachineError):
            raise error.__cause__ from error
        raise


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both objects as one; their large members stay unloaded."""
    return LazyObject({**_unloaded(first), **_unloaded(second)})


def _unloaded(value: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, LargeObject):
        return dict(value.large.load())
    return {key: dict.__getitem__(value, key) for key in value} if isinstance(value, dict) else dict(value)


def slim(value: JsonValue, fold: Fold, *, root: bool = True) -> JsonValue:
    """Return JSON with what `fold` returns in place of each large value; unless `root`, not of the whole. Linear."""
    measured = _measured(value)
    return _folded(value, measured if root else replace(measured, size=0), fold, ())


@dataclass(frozen=True, slots=True)
class _Measured:
    size: int  # bytes of its canonical JSON, large members left out
    members: Mapping[str, _Measured] | None = None


def _measured(value: JsonValue) -> _Measured:
    if isinstance(value, Large | LargeObject) or (isinstance(value, dict) and _MARK in value):
        return _Measured(LIMIT + 1)
    if not isinstance(value, dict):
        return _Measured(len(canonical(value).encode()))
    members = {key: _measured(each) for key, each in _unloaded(value).items()}
    sizes = (_SHORT if each.size > LIMIT else each.size for each in members.values())
    return _Measured(2 + sum(sizes) + sum(len(canonical(key).encode()) + 2 for key in members), members)


def _folded(value: JsonValue, measured: _Measured, fold: Fold, place: Place) -> JsonValue:
    if measured.size > LIMIT:
        return fold(place, value)
    if measured.members is None:
        return value
    inner = _unloaded(value)
    return {key: _folded(inner[key], each, fold, (*place, key)) for key, each in measured.members.items()}


def kept(value: JsonValue, folder: Path) -> tuple[JsonValue, list[tuple[list[str], str]]]:
    """Return an object of JSON without its large values, and their places and digests. Each is in a file of the folder
    when this returns, whatever happens then.
    """
    places: list[tuple[list[str], str]] = []

    def keep(place: Place, large: JsonValue) -> None:
        there = large.large if isinstance(large, LargeObject) else large
        digest = there.digest if isinstance(there, Large) else _written(canonical(large).encode(), folder)
        places.append(([*place], digest))

    return slim(value, keep), places


def restored(value: JsonValue, places: Sequence[tuple[Sequence[str], str]], folder: Path) -> JsonValue:
    """Return an object of JSON as it was before `kept`, its large values to be loaded on use."""
    for place, digest in places:
        value = _put(value, place, Large(digest=digest, folder=folder))
    return value


def _put(value: JsonValue, place: Sequence[str], large: Large) -> JsonValue:
    if not place:
        return LargeObject(large)
    first, *rest = place
    members = _unloaded(value) if isinstance(value, Mapping) else {}
    return LazyObject({**members, first: _put(members.get(first), rest, large) if rest else large})


def _written(content: bytes, folder: Path) -> str:
    """Write a value, unless it is there, and return its digest."""
    digest = hashlib.sha256(content).hexdigest()
    if not (folder / digest).exists():
        folder.mkdir(mode=0o700, exist_ok=True)  # what steps hand off may be a secret
        write_durably(folder / digest, content)
    return digest


def canonical(value: JsonValue) -> str:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _lost(path: Path, why: str) -> MachineError:
    hint = "`stepflow resume --from STEP` with the step that handed it off writes it again"
    return MachineError(f"a value that a step handed off cannot be read: `{path}`: {why}", hint=hint)
