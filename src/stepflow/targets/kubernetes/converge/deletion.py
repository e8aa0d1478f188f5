"""Removing objects from a cluster until they are gone."""

from __future__ import annotations

from stepflow.errors import PermanentError
from stepflow.targets.contract import discard
from stepflow.targets.converge import Answer, Say, wait
from stepflow.targets.kubernetes.api.kinds import Object, key, title
from stepflow.targets.kubernetes.state.session import ClusterSession

_STEP = 0.5  # seconds between two polls
_LONGEST = 240.0  # seconds that an object may take to be gone


async def vanish(session: ClusterSession, there: Object, say: Say = discard, *, policy: str = "Background") -> None:
    """Remove an object and wait until it is gone. Raises `PermanentError` if something blocks that."""
    await session.client.delete(there, policy=policy)
    await gone(session, there, say)


async def gone(session: ClusterSession, there: Object, say: Say = discard) -> None:
    """Wait until an object that is being deleted is gone, and report what blocks it."""
    name, kind = there["metadata"]["name"], there["kind"]

    async def look() -> Answer:
        left = await session.client.get(there["apiVersion"], kind, name, session.namespace)
        if left is None or left["metadata"]["uid"] != there["metadata"]["uid"]:
            return Answer(ready=True, text="")
        return Answer(ready=False, text=_leaving(left))

    async def failure(what: str, error: type[PermanentError]) -> PermanentError:
        hint = f"`kubectl get {kind.lower()} {name} -o yaml` shows what blocks it: a finalizer, an API that is down"
        return error(f"the {title(there)} {what}", hint=hint)

    await wait(key(there), look, deadline=_LONGEST, step=_STEP, say=say, failure=failure, late="is still there")


def _leaving(there: Object) -> str:
    """Format what blocks the deletion of a namespace: first what failed, then what is left."""
    conditions = there.get("status", {}).get("conditions") or ()
    holding = [one for one in conditions if one["status"] == "True" and one["type"].startswith("Namespace")]
    held = [one.get("message", "") for one in sorted(holding, key=lambda one: "Remaining" in one["type"])]
    return f"it is being removed{f': {held[0]}' if held else ''}"
