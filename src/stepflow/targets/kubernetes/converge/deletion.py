"""Removing objects from a cluster until they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stepflow.errors import PermanentError
from stepflow.targets import Progress, discard
from stepflow.targets.kubernetes.api.kinds import Object, title
from stepflow.targets.kubernetes.state.session import ClusterSession

_STEP = 0.5  # seconds between two polls
_LONGEST = 240.0  # seconds that an object may take to be gone


async def vanish(
    session: ClusterSession, there: Object, say: Callable[[Progress], None] = discard, *, policy: str = "Background"
) -> None:
    """Remove an object and wait until it is gone. Raises `PermanentError` if something blocks that."""
    await session.client.delete(there, policy=policy)
    await gone(session, there, say)


async def gone(session: ClusterSession, there: Object, say: Callable[[Progress], None] = discard) -> None:
    """Wait until an object that is being deleted is gone, and report what blocks it."""
    name, kind, said = there["metadata"]["name"], there["kind"], ""
    end = asyncio.get_running_loop().time() + _LONGEST
    while (left := await session.client.get(there["apiVersion"], kind, name, session.namespace)) is not None:
        if left["metadata"]["uid"] != there["metadata"]["uid"]:
            return
        leaving = _leaving(left)
        if asyncio.get_running_loop().time() > end:
            hint = f"`kubectl get {kind.lower()} {name} -o yaml` shows what blocks it: a finalizer, an API that is down"
            raise PermanentError(f"the {title(there)} is still there after {_LONGEST:g} s: {leaving}", hint=hint)
        if leaving != said:
            said = leaving
            say(Progress(f"{kind.lower()} `{name}`", said))
        await asyncio.sleep(_STEP)


def _leaving(there: Object) -> str:
    """Format what blocks the deletion of a namespace: first what failed, then what is left."""
    conditions = there.get("status", {}).get("conditions") or ()
    holding = [one for one in conditions if one["status"] == "True" and one["type"].startswith("Namespace")]
    held = [one.get("message", "") for one in sorted(holding, key=lambda one: "Remaining" in one["type"])]
    return f"it is being removed{f': {held[0]}' if held else ''}"
