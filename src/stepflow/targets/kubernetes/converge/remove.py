"""Removal of what carries this platform's id, servers after their clients, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.concurrency import together
from stepflow.targets.converge import Answer, Say, wait
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.converge.compare import Change, plan_name
from stepflow.targets.kubernetes.converge.deletion import vanish
from stepflow.targets.kubernetes.converge.reconcile import KEPT
from stepflow.targets.kubernetes.manifests.names import PLATFORM
from stepflow.targets.kubernetes.state import binding
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import ALL, CONTROLLERS, ClusterState, made_for, owner_of
from stepflow.targets.wholefile import remove_folder
from stepflow.workload import PRODUCTION

_LONGEST = 240.0  # seconds that pods may take to end: more than the longest grace
_PART = "app.kubernetes.io/component"
_JOBS, _CLIENTS, _SERVERS, _REST = range(4)
_OTHERS = frozenset({"Pod", "ReplicaSet"})  # which go with what made them


def removals(causes: Mapping[str, str], seen: ClusterState, number: str) -> tuple[Action, ...]:
    """Return the removal of these owners' objects, in their order; data and secrets stay, `number` is the platform's
    id. Pure.

    Jobs go first: the pods of one that waits for what does not come would not end by themselves. Servers go once their
    clients have ended, which may still write.
    """
    kinds = [kind for kind in ALL if kind not in {*_OTHERS, *KEPT}]
    mine = [each for each in (*seen.every(kinds), *_left_alone(seen)) if owner_of(each) in causes]
    return tuple(
        Action("remove", plan_name(each, number), causes[owner_of(each)], owner_of(each), subject=Change(old=each))
        for each in sorted(mine, key=_turn)
    )


async def remove(session: ClusterSession, names: Collection[str] | None, say: Say, *, data: bool) -> tuple[str, ...]:
    """See `stepflow.targets.contract.Target.remove`."""
    seen = await session.everything.next()
    owners = {owner_of(each) for each in seen.every(set(ALL) - KEPT)} - {"", PLATFORM}
    chosen = owners if names is None else owners & set(names)
    gone: list[str] = []
    actions = removals(dict.fromkeys(chosen, ""), seen, session.identity.id)
    for turn, group in groupby((each.subject.old for each in actions), key=_turn):
        going = list(group)
        await _delete(session, going)
        if turn in {_CLIENTS, _SERVERS}:
            ended = dict.fromkeys(owner_of(each) for each in going)
            await together(*(_ended(session, name, say) for name in ended))
            gone += ended
    gone += [PRODUCTION] * (PRODUCTION in chosen)
    if data:
        claims = seen.of("PersistentVolumeClaim")
        await _delete(session, [each for each in claims if names is None or owner_of(each) in chosen])
    if names is None:
        await _clear(session, seen, say, data=data)
    return tuple(dict.fromkeys(gone))


def _turn(each: Object) -> int:
    """Return when an object is removed."""
    if each["kind"] in {*CONTROLLERS, *_OTHERS}:
        return _CLIENTS if _is_workload(each) else _SERVERS
    return _JOBS if each["kind"] == "Job" else _REST


def _left_alone(seen: ClusterState) -> list[Object]:
    """Return what has lost its controller: a run was cut off while it replaced a StatefulSet."""
    return [each for each in seen.every(_OTHERS) if not each["metadata"].get("ownerReferences")]


async def _ended(session: ClusterSession, owner: str, say: Say) -> None:
    """Wait until no pod of an owner is left."""

    async def look() -> Answer:
        pods = (await session.running.next()).of("Pod", owner)
        left = sorted(f"`{each['metadata']['name']}`" for each in pods if not _is_done(each))
        return Answer(not left, f"{', '.join(left)} {'is' if len(left) == 1 else 'are'} shutting down")

    async def failure(what: str, error: type[PermanentError]) -> PermanentError:
        hint = "is its node away? `kubectl get pods -o wide`; `kubectl delete pod --force NAME` abandons it"
        return error(f"`{owner}` {what}", hint=hint)

    await wait(owner, look, deadline=_LONGEST, step=0, say=say, failure=failure, late="still has pods")


async def _clear(session: ClusterSession, seen: ClusterState, say: Say, *, data: bool) -> None:
    """Remove what all shared; with all data also the namespace, where it is ours, and what this machine keeps."""
    kinds = [kind for kind in ALL if data or kind not in KEPT]
    shared = [each for each in seen.every(kinds) if owner_of(each) in {"", PLATFORM}]
    await _delete(session, [each for each in shared if each["kind"] not in _OTHERS])
    if not data:
        return
    namespace = await session.client.get("v1", "Namespace", session.namespace)
    if namespace is not None and made_for(namespace, session.identity.id):
        await vanish(session, namespace, say)
    await session.supply.forget()
    binding.forget(session.identity)
    for folder in (session.identity.secrets, session.identity.logs, session.identity.private):
        remove_folder(folder, ignore_errors=True)


async def _delete(session: ClusterSession, going: Iterable[Object]) -> None:
    await asyncio.gather(*(session.client.delete(each) for each in going))


def _is_workload(each: Object) -> bool:
    return bool(each["metadata"]["labels"].get(_PART) == "service")


def _is_done(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
