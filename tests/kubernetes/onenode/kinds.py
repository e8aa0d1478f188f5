"""What kinds of object there are and how their fields merge: as a real API described itself when it was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]
_SCHEMA = json.loads((Path(__file__).parents[1] / "recorded" / "schema.json").read_text())
TYPES: Mapping[str, Mapping[str, str]] = _SCHEMA["types"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object; `type` is its schema's name, `short` and `subresources` are what discovery tells."""

    version: str  # group/version, or v1
    name: str
    plural: str
    namespaced: bool
    type: str
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The group; "" for the core's."""
        return self.version.rpartition("/")[0]

    @property
    def has_status(self) -> bool:
        """Whether its status is written apart from the rest."""
        return f"{self.plural}/status" in self.subresources

    def described(self) -> Iterator[Object]:
        """Give what discovery lists, with the subresources."""
        common = {"singularName": self.name.lower(), "namespaced": self.namespaced, "kind": self.name}
        verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        yield common | {"name": self.plural, "verbs": verbs, "shortNames": list(self.short)}
        for each in self.subresources:
            yield common | {"name": each, "verbs": ["get", "patch", "update"]}


KINDS = tuple(
    Kind(
        each["apiVersion"], each["kind"], each["plural"], each["namespaced"], each["type"],
        tuple(each["short"]), tuple(each["subresources"]),
    )
    for each in _SCHEMA["kinds"]
)  # fmt: skip
BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
BY_PATH: Mapping[tuple[str, str], Kind] = {(kind.version, kind.plural): kind for kind in KINDS}
VERSIONS = tuple(dict.fromkeys(kind.version for kind in KINDS))


@dataclass(frozen=True, slots=True)
class Code:
    """How one field merges: `keys` tells the items of a list apart, `inner` is the type within."""

    shape: str  # "whole", "struct", "map", "set", "list"
    inner: str = ""
    keys: tuple[str, ...] = ()


def code(name: str, field: str) -> Code | None:
    """Read a field of a type; None when the type has no such field."""
    found = TYPES[name].get(field)
    if found is None:
        return None
    if found.startswith("["):
        keys, _, inner = found[1:].partition("]")
        return Code("list", inner, tuple(keys.split(","))) if keys else Code("set")
    if found.startswith("{"):
        return Code("map", found[1:-1])
    return Code("struct", found) if found else Code("whole")
