"""The kinds of object and how their fields merge, as recorded from a real API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]
_SCHEMA = json.loads((Path(__file__).parents[1] / "recorded" / "schema.json").read_text())
_TYPES: Mapping[str, Mapping[str, str]] = _SCHEMA["types"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object; `type` is the name of its schema, and `has_status` whether it has a status subresource."""

    version: str  # group/version, or v1
    name: str
    plural: str
    namespaced: bool
    type: str
    has_status: bool

    @property
    def group(self) -> str:
        """The group; "" for the core group."""
        return self.version.rpartition("/")[0]


KINDS = tuple(
    Kind(
        each["apiVersion"], each["kind"], each["plural"], each["namespaced"], each["type"],
        f"{each['plural']}/status" in each["subresources"],
    )
    for each in _SCHEMA["kinds"]
)  # fmt: skip
BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
BY_PATH: Mapping[tuple[str, str], Kind] = {(kind.version, kind.plural): kind for kind in KINDS}
VERSIONS = frozenset(kind.version for kind in KINDS)


@dataclass(frozen=True, slots=True)
class Merge:
    """How one field merges: `keys` identify the items of a list, `inner` is the type within."""

    shape: str  # "whole", "struct", "map", "set", "list"
    inner: str = ""
    keys: tuple[str, ...] = ()


def merge_of(name: str, field: str) -> Merge | None:
    """Return how a field of a type merges; None when the type has no such field."""
    found = _TYPES[name].get(field)
    if found is None:
        return None
    if found.startswith("["):
        keys, _, inner = found[1:].partition("]")
        return Merge("list", inner, tuple(keys.split(","))) if keys else Merge("set")
    if found.startswith("{"):
        return Merge("map")
    return Merge("struct", found) if found else Merge("whole")
