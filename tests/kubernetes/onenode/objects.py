"""What the API does with objects, for its HTTP side and for the controllers alike."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from uuid import uuid4

from onenode import admission
from onenode.defaults import with_defaults
from onenode.kinds import BY_NAME, Kind, Object
from onenode.managers import applied, now, updated
from onenode.statuses import RefusedError, exists, other_uid, stale
from onenode.store import Store

_FINAL = {"PersistentVolumeClaim": "kubernetes.io/pvc-protection"}
_GENERATED = "bcdfghjklmnpqrstvwxz2456789"


class Objects:
    """Writes objects by the API's rules."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._events = 0

    def create(self, body: Object, manager: str, *, dry_run: bool = False) -> Object:
        """Make an object. Raises `RefusedError`."""
        kind = BY_NAME[body["kind"]]
        metadata = body.setdefault("metadata", {})
        if "name" not in metadata and "generateName" in metadata:
            metadata["name"] = metadata["generateName"] + "".join(secrets.choice(_GENERATED) for _ in range(5))
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        admission.check_place(self.store, kind, namespace, name)
        if self.store.find(kind.name, namespace, name) is not None:
            raise exists(kind, name)
        return self._new(kind, updated(kind, None, _prepared(kind, body), manager), dry_run=dry_run)

    def apply(self, body: Object, manager: str, *, force: bool, dry_run: bool = False) -> tuple[Object, bool]:
        """Apply a body; tells whether it was made. Raises `RefusedError`."""
        kind = BY_NAME[body["kind"]]
        namespace, name = body["metadata"].get("namespace", ""), body["metadata"]["name"]
        live = self.store.find(kind.name, namespace, name)
        if live is None:
            admission.check_place(self.store, kind, namespace, name)
            return self._new(
                kind, _prepared(kind, applied(kind, None, body, manager, force=force)), dry_run=dry_run
            ), True
        uid = body["metadata"].get("uid")
        if uid and uid != live["metadata"]["uid"]:
            raise stale(kind, name)
        return self._changed(kind, live, applied(kind, live, body, manager, force=force), dry_run=dry_run), False

    def update(
        self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Object], manager: str,
        *, dry_run: bool = False,
    ) -> Object:  # fmt: skip
        """Change an object by a function of it. Raises `RefusedError`."""
        live = self.store.get(kind.name, namespace, name)
        wanted = change(deepcopy(live))
        version = wanted["metadata"].get("resourceVersion")
        if version and version != live["metadata"]["resourceVersion"]:
            raise stale(kind, name)
        fixed = {key: live["metadata"][key] for key in _KEPT if key in live["metadata"]}
        after = {**wanted, "metadata": {**wanted["metadata"], **fixed}}
        after["metadata"].pop("managedFields", None)
        if kind.has_status and kind.name != "Node":
            after = {**after, **({"status": live["status"]} if "status" in live else {})}
        after = with_defaults(after)
        return self._changed(kind, live, updated(kind, live, after, manager), dry_run=dry_run)

    def delete(
        self, kind: Kind, namespace: str, name: str, options: Object | None = None, *, dry_run: bool = False
    ) -> Object:
        """Delete an object, or mark it where something must happen before. Raises `RefusedError`."""
        live = self.store.get(kind.name, namespace, name)
        wanted = options or {}
        uid = wanted.get("preconditions", {}).get("uid")
        if uid and uid != live["metadata"]["uid"]:
            raise other_uid(kind, name, uid, live["metadata"]["uid"])
        if dry_run:
            return live
        policy = wanted.get("propagationPolicy", "Background")
        finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
        if finalizer and finalizer not in live["metadata"].setdefault("finalizers", []):
            live["metadata"]["finalizers"].append(finalizer)
        grace = 0
        if (
            kind.name == "Pod"
            and live["spec"].get("nodeName")
            and live.get("status", {}).get("phase") in {"Running", "Pending"}
        ):
            grace = wanted.get("gracePeriodSeconds", live["spec"]["terminationGracePeriodSeconds"])
        held = bool(live["metadata"].get("finalizers")) or kind.name == "Namespace" or grace > 0
        if not held:
            return self.store.remove(live)
        earlier = live["metadata"].get("deletionGracePeriodSeconds")
        if "deletionTimestamp" not in live["metadata"] or (earlier is not None and grace < earlier):
            live["metadata"]["deletionTimestamp"] = now()
            if kind.name != "Namespace":
                live["metadata"]["deletionGracePeriodSeconds"] = grace
            else:
                live["status"] = {"phase": "Terminating"}
        return self.store.put(live)

    def status(self, body: Object, **status: object) -> Object:
        """Write parts of an object's status, as a controller does; nothing where it is gone."""
        live = self.store.find(body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])
        if live is None or live["metadata"]["uid"] != body["metadata"]["uid"]:
            return body
        live["status"] = {
            key: value for key, value in {**live.get("status", {}), **status}.items() if value is not None
        }
        return self.store.put(live)

    def event(self, about: Object, reason: str, message: str, component: str, *, warning: bool = False) -> None:
        """Tell what happened to an object; the same again is counted."""
        space = about["metadata"].get("namespace", "default")
        for each in self.store.list("Event", space):
            same = (each["involvedObject"]["uid"], each["reason"], each["message"])
            if same == (about["metadata"]["uid"], reason, message):
                self.store.put({**each, "count": each["count"] + 1, "lastTimestamp": now()})
                return
        self._events += 1
        involved = {
            "kind": about["kind"], "namespace": space, "name": about["metadata"]["name"],
            "uid": about["metadata"]["uid"], "apiVersion": about["apiVersion"],
        }  # fmt: skip
        name = f"{about['metadata']['name']}.{self._events:016x}"
        if (
            "deletionTimestamp"
            in (self.store.find("Namespace", "", space) or {"metadata": {"deletionTimestamp": ""}})["metadata"]
        ):
            return
        self.create({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": space},
            "involvedObject": involved, "reason": reason, "message": message, "count": 1,
            "type": "Warning" if warning else "Normal", "firstTimestamp": now(), "lastTimestamp": now(),
            "source": {"component": component}, "reportingComponent": component, "eventTime": None,
        }, component)  # fmt: skip

    def _new(self, kind: Kind, body: Object, *, dry_run: bool) -> Object:
        admission.check_new(self.store, kind, body)
        admission.check_selector(kind, body)
        return body if dry_run else self.store.put(body)

    def _changed(self, kind: Kind, live: Object, after: Object, *, dry_run: bool) -> Object:
        after = with_defaults(after)
        for key in _KEPT:
            if key in live["metadata"]:
                after["metadata"][key] = live["metadata"][key]
        admission.check_change(kind, live, after)
        admission.check_selector(kind, after)
        if "generation" in live["metadata"] and _meant(live) != _meant(after):
            after["metadata"]["generation"] = live["metadata"]["generation"] + 1
        if dry_run:
            return after
        if (
            "deletionTimestamp" in after["metadata"]
            and not after["metadata"].get("finalizers")
            and kind.name not in _WAITED_FOR
        ):
            self.store.remove(live)
            return after
        return self.store.put(after)


_WAITED_FOR = {"Namespace", "Pod"}
_KEPT = (
    "uid", "creationTimestamp", "resourceVersion", "generation", "namespace", "name", "deletionTimestamp",
    "deletionGracePeriodSeconds", "generateName",
)  # fmt: skip


def _meant(body: Object) -> Object:
    return {key: value for key, value in body.items() if key not in {"metadata", "status"}}


def _prepared(kind: Kind, body: Object) -> Object:
    """Fill in what every new object has."""
    body = with_defaults({**body, "metadata": dict(body["metadata"])})
    metadata = body["metadata"]
    metadata.pop("resourceVersion", None)
    metadata.setdefault("uid", str(uuid4()))
    metadata["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind.group or kind.name == "Pod":
        metadata["generation"] = 1
    if kind.has_status:
        body.setdefault("status", {})
    if kind.name == "Secret" and "stringData" in body:
        from base64 import b64encode  # noqa: PLC0415 - here only

        text = body.pop("stringData")
        body["data"] = {
            **body.get("data", {}),
            **{key: b64encode(value.encode()).decode() for key, value in text.items()},
        }
    if kind.name in _FINAL:
        metadata["finalizers"] = [*metadata.get("finalizers", ()), _FINAL[kind.name]]
    return body


__all__ = ["Objects", "RefusedError"]
