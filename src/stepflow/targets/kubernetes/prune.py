"""What of an owner's objects is no longer wanted. Pure but for the removal itself."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from stepflow.targets.kubernetes.kinds import Objects, key
from stepflow.targets.kubernetes.place import Place
from stepflow.targets.kubernetes.sight import Sight, owner_of

KEPT = frozenset({"PersistentVolumeClaim", "Secret"})
"""Kinds that only go together with all data."""
_OF_CONTROLLERS = frozenset({"Pod", "ReplicaSet"})


def unwanted(sight: Sight, owner: str, wanted: Collection[str]) -> Objects:
    """Give an owner's objects that are not among the wanted (`kinds.key`); what others made of them goes with them."""
    kinds = [kind for kind in sight.objects if kind not in KEPT | _OF_CONTROLLERS and kind != "Event"]
    return [each for each in sight.every(kinds) if owner_of(each) == owner and key(each) not in wanted]


async def prune(place: Place, sight: Sight, owner: str, wanted: Collection[str]) -> None:
    """Remove what is no longer wanted of an owner. `sight` holds this platform's objects and nobody else's."""
    await asyncio.gather(*(place.client.delete(each) for each in unwanted(sight, owner, wanted)))
