"""The objects, which are the cluster's only state, and the API's rules for changing them."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from copy import deepcopy
from uuid import uuid4

from onenode.apply import applied, now, updated
from onenode.defaults import with_defaults
from onenode.kinds import BY_NAME, Kind, Object
from onenode.refusals import check_change, check_new, check_place, exists, not_found, other_uid

_GENERATED = "bcdfghjklmnpqrstvwxz2456789"
_CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
_KEPT = (
    "uid", "creationTimestamp", "resourceVersion", "generation", "namespace", "name", "deletionTimestamp",
    "deletionGracePeriodSeconds", "generateName",
)  # fmt: skip
_Key = tuple[str, str, str]  # kind, namespace, name


class Store:
    """Objects by kind, namespace and name; every change has a version and wakes who waits for one."""

    def __init__(self) -> None:
        self.version = 1000
        self._objects: dict[_Key, Object] = {}
        self._waiting: set[asyncio.Event] = set()

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return a copy of an object, None where there is none."""
        return deepcopy(self._objects.get((kind, namespace, name)))

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Return a copy of an object. Raises `RefusedError`."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(BY_NAME[kind], name)
        return found

    def same(self, body: Object) -> Object | None:
        """Return a copy of an object as it is now, None where it is gone or another has its name."""
        found = self.find(*_key(body))
        return found if found and found["metadata"]["uid"] == body["metadata"]["uid"] else None

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """Return copies of all objects of a kind, of all namespaces or of one, by name."""
        keys = sorted(key for key in self._objects if key[0] == kind and namespace in ("", key[1]))
        return [deepcopy(self._objects[key]) for key in keys]

    def namespaced(self, namespace: str = "") -> Iterator[Object]:
        """Return copies of all objects in a namespace, or of all there are."""
        return (deepcopy(body) for key, body in tuple(self._objects.items()) if namespace in ("", key[1]))

    def put(self, body: Object) -> Object:
        """Write an object and return it with its new version; one that is as it was keeps its version."""
        key = _key(body)
        if self._objects.get(key) == body:
            return deepcopy(body)
        self._objects[key] = deepcopy(body)
        self._objects[key]["metadata"]["resourceVersion"] = self._next()
        return deepcopy(self._objects[key])

    def remove(self, body: Object) -> Object:
        """Remove an object that is there, and return it with the version of its end."""
        last = self._objects.pop(_key(body))
        last["metadata"]["resourceVersion"] = self._next()
        return last

    def _next(self) -> str:
        self.version += 1
        for event in self._waiting:
            event.set()
        return str(self.version)

    async def changed(self, version: int, patience: float) -> None:
        """Wait until something has changed after a version, for `patience` seconds at most."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            if self.version == version:
                async with asyncio.timeout(patience):
                    await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)


class Objects:
    """Changes objects by the API's rules, for requests and controllers alike."""

    def __init__(self) -> None:
        self.store = Store()
        self._events = 0

    def create(self, body: Object, manager: str) -> Object:
        """Create an object. Raises `RefusedError`."""
        kind = BY_NAME[body["kind"]]
        metadata = body.setdefault("metadata", {})
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + "".join(secrets.choice(_GENERATED) for _ in range(5))
        check_place(self.store, kind, body)
        if self.store.find(*_key(body)) is not None:
            raise exists(kind, metadata["name"])
        return self._new(kind, updated(kind, None, _prepared(kind, body), manager), dry_run=False)

    def apply(self, body: Object, manager: str, *, force: bool, dry_run: bool) -> tuple[Object, bool]:
        """Apply a body and return the object, and whether it is new. Raises `RefusedError`."""
        kind = BY_NAME[body["kind"]]
        live = self.store.find(*_key(body))
        if live is None:
            check_place(self.store, kind, body)
            made = applied(kind, None, body, manager, force=force)
            return self._new(kind, _prepared(kind, made), dry_run=dry_run), True
        return self._changed(kind, live, applied(kind, live, body, manager, force=force), dry_run=dry_run), False

    def patch(self, live: Object, change: Callable[[Object], Object], manager: str) -> Object:
        """Change an object, but for its status, by a function of it. Raises `RefusedError`."""
        kind = BY_NAME[live["kind"]]
        after = change(deepcopy(live))
        after["metadata"].pop("managedFields", None)
        if kind.has_status and kind.name != "Node":
            after["status"] = live.get("status", {})
        return self._changed(kind, live, updated(kind, live, with_defaults(after), manager), dry_run=False)

    def delete(self, live: Object, options: Object | None = None) -> Object:
        """Delete an object, or mark it where something must happen before. Raises `RefusedError`."""
        kind, metadata, asked = BY_NAME[live["kind"]], live["metadata"], options or {}
        uid = asked.get("preconditions", {}).get("uid")
        if uid and uid != metadata["uid"]:
            raise other_uid(kind, metadata["name"], uid, metadata["uid"])
        grace = 0
        if kind.name == "Pod" and live["spec"].get("nodeName"):
            grace = asked.get("gracePeriodSeconds", live["spec"]["terminationGracePeriodSeconds"])
        if not (metadata.get("finalizers") or kind.name == "Namespace" or grace > 0):
            return self.store.remove(live)
        if "deletionTimestamp" not in metadata or grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = now()
            if kind.name == "Namespace":
                live["status"] = {"phase": "Terminating"}
            else:
                metadata["deletionGracePeriodSeconds"] = grace
        return self.store.put(live)

    def status(self, body: Object, **status: object) -> Object:
        """Write parts of an object's status, as a controller does; None removes one. Ignores an object that is gone."""
        live = self.store.same(body)
        if live is None:
            return body
        merged = live.get("status", {}) | status
        return self.store.put({**live, "status": {key: value for key, value in merged.items() if value is not None}})

    def event(self, about: Object, reason: str, message: str, component: str, *, warning: bool = False) -> None:
        """Record what happened to an object; the same again is counted."""
        space, uid = about["metadata"]["namespace"], about["metadata"]["uid"]
        for each in self.store.list("Event", space):
            if (each["involvedObject"]["uid"], each["reason"], each["message"]) == (uid, reason, message):
                self.store.put({**each, "count": each["count"] + 1, "lastTimestamp": now()})
                return
        namespace = self.store.find("Namespace", "", space)
        if namespace is None or leaving(namespace):
            return
        self._events += 1
        name = about["metadata"]["name"]
        self.create({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": f"{name}.{self._events:016x}", "namespace": space},
            "involvedObject": {
                "kind": about["kind"], "namespace": space, "name": name, "uid": uid, "apiVersion": about["apiVersion"],
            },
            "reason": reason, "message": message, "count": 1, "type": "Warning" if warning else "Normal",
            "firstTimestamp": now(), "lastTimestamp": now(), "eventTime": None,
            "source": {"component": component}, "reportingComponent": component,
        }, component)  # fmt: skip

    def _new(self, kind: Kind, body: Object, *, dry_run: bool) -> Object:
        check_new(self.store, kind, body)
        return body if dry_run else self.store.put(body)

    def _changed(self, kind: Kind, live: Object, after: Object, *, dry_run: bool) -> Object:
        after = with_defaults(after)
        _fold_texts(after)
        after["metadata"] |= {key: live["metadata"][key] for key in _KEPT if key in live["metadata"]}
        check_change(kind, live, after)
        if "generation" in live["metadata"] and _meaning(live) != _meaning(after):
            after["metadata"]["generation"] = live["metadata"]["generation"] + 1
        if dry_run:
            return after
        if leaving(after) and not after["metadata"].get("finalizers") and kind.name not in {"Namespace", "Pod"}:
            self.store.remove(live)
            return after
        return self.store.put(after)


def leaving(body: Object) -> bool:
    """Return whether an object is being deleted."""
    return "deletionTimestamp" in body["metadata"]


def ready(pod: Object) -> bool:
    """Return whether a pod is ready and stays."""
    return _condition(pod, "Ready").get("status") == "True" and not leaving(pod)


def _condition(body: Object, kind: str) -> Object:
    return next((each for each in body.get("status", {}).get("conditions", ()) if each["type"] == kind), {})


def with_conditions(body: Object, *new: Object) -> list[Object]:
    """Return an object's conditions with new ones in place; their time is that of the last change of status."""
    found = {each["type"]: each for each in body.get("status", {}).get("conditions", ())}
    for each in new:
        old = found.get(each["type"], {})
        since = old["lastTransitionTime"] if old.get("status") == each["status"] else now()
        found[each["type"]] = {**each, "lastTransitionTime": since}
    return list(found.values())


def _key(body: Object) -> _Key:
    return body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _meaning(body: Object) -> Object:
    return {key: value for key, value in body.items() if key not in {"metadata", "status"}}


def _fold_texts(secret: Object) -> None:
    """Put the texts of a Secret among its data, as the API keeps them."""
    texts = secret.pop("stringData", None) or {}
    if texts:
        encoded = {name: b64encode(text.encode()).decode() for name, text in texts.items()}
        secret["data"] = (secret.get("data") or {}) | encoded


def _prepared(kind: Kind, body: Object) -> Object:
    """Return a new object with what every new object has."""
    body = with_defaults({**body, "metadata": dict(body["metadata"])})
    metadata = body["metadata"]
    metadata.pop("resourceVersion", None)
    metadata.setdefault("uid", str(uuid4()))
    metadata["creationTimestamp"] = now()
    if kind.group or kind.name == "Pod":
        metadata["generation"] = 1
    if kind.has_status:
        body.setdefault("status", {})
    _fold_texts(body)
    if kind.name == "PersistentVolumeClaim":
        metadata["finalizers"] = [*metadata.get("finalizers", ()), _CLAIM_FINALIZER]
    return body
