"""A namespace that is deleted goes when nothing is in it any more."""

from __future__ import annotations

from onenode.controllers.ownership import leaving
from onenode.kinds import BY_NAME
from onenode.objects import Objects


def control(objects: Objects) -> None:
    """Empty the namespaces that go."""
    for namespace in objects.store.list("Namespace"):
        if not leaving(namespace):
            continue
        name = namespace["metadata"]["name"]
        left = list(objects.store.namespaced(name))
        for each in left:
            if not leaving(each):
                objects.delete(
                    BY_NAME[each["kind"]], name, each["metadata"]["name"], {"propagationPolicy": "Background"}
                )
        if not left:
            objects.store.remove(namespace)
