"""What belongs to something that is gone goes, too; what is kept for a reason goes when the reason has."""

from __future__ import annotations

from onenode.controllers.ownership import leaving
from onenode.kinds import BY_NAME, KINDS, Object
from onenode.objects import Objects


def control(objects: Objects) -> None:
    """Delete what has lost all its owners, and let go what waits for what belongs to it."""
    everything = [body for kind in KINDS for body in objects.store.list(kind.name)]
    there = {body["metadata"]["uid"] for body in everything}
    dependents: dict[str, list[Object]] = {}
    for body in everything:
        owners = [each["uid"] for each in body["metadata"].get("ownerReferences", ())]
        for uid in owners:
            dependents.setdefault(uid, []).append(body)
        if owners and not there & set(owners) and not leaving(body):
            _delete(objects, body)
    for body in everything:
        if leaving(body):
            _let_go(objects, body, dependents.get(body["metadata"]["uid"], []))


def _let_go(objects: Objects, body: Object, dependents: list[Object]) -> None:
    held = body["metadata"].get("finalizers", [])
    done = set()
    if "foregroundDeletion" in held:
        for each in dependents:
            if not leaving(each):
                _delete(objects, each)
        done |= set() if dependents else {"foregroundDeletion"}
    if "orphan" in held:
        for each in dependents:
            kept = [ref for ref in each["metadata"]["ownerReferences"] if ref["uid"] != body["metadata"]["uid"]]
            objects.store.put({**each, "metadata": {**each["metadata"], "ownerReferences": kept}})
        done.add("orphan")
    if "kubernetes.io/pvc-protection" in held and not _used(objects, body):
        done.add("kubernetes.io/pvc-protection")
    if not done:
        return
    body["metadata"]["finalizers"] = [each for each in held if each not in done]
    objects.store.put(body)
    if not body["metadata"]["finalizers"]:
        objects.store.remove(body)


def _used(objects: Objects, claim: Object) -> bool:
    name = claim["metadata"]["name"]
    return any(
        volume.get("persistentVolumeClaim", {}).get("claimName") == name
        for pod in objects.store.list("Pod", claim["metadata"]["namespace"])
        for volume in pod["spec"].get("volumes", ())
    )


def _delete(objects: Objects, body: Object) -> None:
    objects.delete(BY_NAME[body["kind"]], body["metadata"].get("namespace", ""), body["metadata"]["name"])
