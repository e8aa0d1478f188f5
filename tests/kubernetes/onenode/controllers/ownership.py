"""What controllers have in common: whose an object is, what of its pods is ready, and conditions."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from onenode.kinds import Object
from onenode.managers import now
from onenode.objects import Objects


def reference(owner: Object) -> Object:
    """Give the reference by which an object belongs to its controller."""
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def owned_by(objects: Objects, owner: Object, kind: str) -> list[Object]:
    """Give the objects of a kind that an object controls."""
    uid = owner["metadata"]["uid"]
    return [
        each
        for each in objects.store.list(kind, owner["metadata"].get("namespace", ""))
        if any(ref["uid"] == uid for ref in each["metadata"].get("ownerReferences", ()))
    ]


def leaving(body: Object) -> bool:
    """Tell whether it is being deleted."""
    return "deletionTimestamp" in body["metadata"]


def ready(pod: Object) -> bool:
    """Tell whether a pod is ready and stays."""
    return condition(pod, "Ready").get("status") == "True" and not leaving(pod)


def ended(pod: Object) -> bool:
    """Tell whether a pod will never run again."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def condition(body: Object, kind: str) -> Object:
    """Give a condition of an object; {} where it has none."""
    return next((each for each in body.get("status", {}).get("conditions", ()) if each["type"] == kind), {})


def with_conditions(body: Object, *new: Object, stamp: bool = False) -> list[Object]:
    """Give an object's conditions with new ones in place; times change only with what they say."""
    found = {each["type"]: each for each in body.get("status", {}).get("conditions", ())}
    for each in new:
        old = found.get(each["type"], {})
        moved = old.get("lastTransitionTime") if old.get("status") == each["status"] else None
        fresh = {**each, "lastTransitionTime": moved or now()}
        if stamp:
            same = all(old.get(key) == each.get(key) for key in ("status", "reason", "message"))
            fresh["lastUpdateTime"] = each.get("lastUpdateTime") or (old.get("lastUpdateTime") if same else now())
        found[each["type"]] = fresh
    return list(found.values())


def fingerprint(value: Any) -> str:  # noqa: ANN401 - JSON
    """Give ten characters that stand for a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def age(moment: str) -> float:
    """Give how many seconds ago a time was; it is known to the second."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def new_pod(owner: Object, template: Object, name: str = "", *, labels: Object | None = None) -> Object:
    """Make a pod of a template."""
    metadata = {
        "namespace": owner["metadata"]["namespace"], "ownerReferences": [reference(owner)],
        "labels": {**template.get("metadata", {}).get("labels", {}), **(labels or {})},
        "annotations": dict(template.get("metadata", {}).get("annotations", {})),
    }  # fmt: skip
    metadata |= {"name": name} if name else {"generateName": owner["metadata"]["name"] + "-"}
    if not metadata["annotations"]:
        del metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": json.loads(json.dumps(template["spec"]))}
