"""A claim of a volume is bound where its storage class is there; a class may wait for the first pod."""

from __future__ import annotations

from onenode.kinds import Object
from onenode.objects import Objects

_NAME = "persistentvolume-controller"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def control(objects: Objects) -> None:
    """Bind claims."""
    classes = {each["metadata"]["name"]: each for each in objects.store.list("StorageClass")}
    default = next(
        (n for n, each in classes.items() if each["metadata"].get("annotations", {}).get(_DEFAULT) == "true"), ""
    )
    for claim in objects.store.list("PersistentVolumeClaim"):
        if claim["status"].get("phase") == "Bound":
            continue
        if default and "storageClassName" not in claim["spec"]:
            claim["spec"]["storageClassName"] = default
            objects.store.put(claim)  # and is bound next time
        else:
            _bind(objects, claim, classes)


def _bind(objects: Objects, claim: Object, classes: dict[str, Object]) -> None:
    name = claim["spec"].get("storageClassName", "")
    if name in classes:
        size = claim["spec"]["resources"]["requests"]
        claim["spec"]["volumeName"] = f"pvc-{claim['metadata']['uid']}"
        bound = objects.store.put(claim)
        objects.status(bound, phase="Bound", capacity=size, accessModes=claim["spec"]["accessModes"])
        return
    if claim["status"].get("phase") != "Pending":
        claim = objects.status(claim, phase="Pending")
        if name:
            said = f'storageclass.storage.k8s.io "{name}" not found'
            objects.event(claim, "ProvisioningFailed", said, _NAME, warning=True)
        else:
            said = "no persistent volumes available for this claim and no storage class is set"
            objects.event(claim, "FailedBinding", said, _NAME)
