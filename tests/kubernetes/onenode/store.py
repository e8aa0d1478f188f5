"""The objects, and what happened to them: the cluster's only state."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from onenode.kinds import BY_NAME, Kind, Object
from onenode.statuses import expired, not_found

_REMEMBERED = 5000  # changes that a watch can begin at


@dataclass(frozen=True, slots=True)
class Change:
    """One change: what it was before (None: it was made) and after (None: it is gone)."""

    version: int
    kind: Kind
    before: Object | None
    after: Object | None


class Store:
    """Objects by kind, namespace and name; every change has a version, and wakes who waits."""

    def __init__(self) -> None:
        self.version = 1000
        self.oldest = 1000
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._changes: list[Change] = []
        self._waiting: set[asyncio.Event] = set()

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Give a copy of an object, if it is there."""
        return deepcopy(self._objects.get((kind, namespace, name)))

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Give a copy of an object. Raises `RefusedError`."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(BY_NAME[kind], name)
        return found

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """Give copies of all objects of a kind, of all namespaces or of one, by name."""
        return [
            deepcopy(body)
            for (its, space, _), body in sorted(self._objects.items(), key=lambda each: each[0])
            if its == kind and namespace in ("", space)
        ]

    def namespaced(self, namespace: str) -> Iterator[Object]:
        """Give copies of all objects in a namespace."""
        return (deepcopy(body) for (_, space, _), body in tuple(self._objects.items()) if space == namespace)

    def put(self, body: Object) -> Object:
        """Write an object and give it with its new version; one that is as it was gets none."""
        kind = BY_NAME[body["kind"]]
        key = (kind.name, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        before = self._objects.get(key)
        if before == body:
            return deepcopy(body)
        after = deepcopy(body)
        self._record(kind, before, after, key)
        return deepcopy(after)

    def remove(self, body: Object) -> Object:
        """Remove an object that is there, and give it with the version of its end."""
        kind = BY_NAME[body["kind"]]
        key = (kind.name, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        before = self._objects[key]
        self._record(kind, before, None, key)
        return deepcopy(before)

    def _record(self, kind: Kind, before: Object | None, after: Object | None, key: tuple[str, str, str]) -> None:
        self.version += 1
        if after is None:
            before = deepcopy(before) or {}
            before["metadata"]["resourceVersion"] = str(self.version)
            del self._objects[key]
        else:
            after["metadata"]["resourceVersion"] = str(self.version)
            self._objects[key] = after
        self._changes.append(Change(self.version, kind, before, after))
        if len(self._changes) > _REMEMBERED:
            self.oldest = self._changes.pop(0).version
        for event in self._waiting:
            event.set()

    def since(self, version: int) -> list[Change]:
        """Give the changes after a version. Raises `RefusedError` where they are forgotten."""
        if version < self.oldest:
            raise expired(version, self.oldest)
        return self._changes[bisect_right(self._changes, version, key=lambda change: change.version) :]

    async def changed(self, version: int, patience: float) -> bool:
        """Wait until there is something after a version, for so many seconds at most."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            if self.version > version:
                return True
            async with asyncio.timeout(patience):
                await event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting.discard(event)
