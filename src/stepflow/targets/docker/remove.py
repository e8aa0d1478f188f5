"""Undoing: what carries this platform's id is stopped in the reverse order of needs and removed, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import methodcaller
from typing import Any

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Progress
from stepflow.targets.docker.execute import let_go
from stepflow.targets.docker.inspected import Inspected
from stepflow.targets.docker.observed import inspect
from stepflow.targets.docker.session import EngineSession
from stepflow.targets.docker_api.errors import GONE, EngineRefusedError
from stepflow.targets.identity import KIND, NAME
from stepflow.targets.wholefile import remove_folder


def removals(causes: Mapping[str, str], copies: Sequence[Inspected]) -> tuple[Action, ...]:
    """Return the removal of every copy of these owners, in the order in which they are stopped; pure."""
    turns = _turns(copies)
    mine = sorted((each for each in copies if each.record.owner in causes), key=lambda each: turns[each.id])
    return tuple(
        Action("remove", each.instance, causes[each.record.owner], each.record.owner, subject=each) for each in mine
    )


async def remove(
    session: EngineSession, names: Collection[str] | None, say: Callable[[Progress], None], *, data: bool
) -> tuple[str, ...]:
    """See `stepflow.targets.contract.Target.remove`."""
    found = await inspect(session.engine, session.identity)
    causes = dict.fromkeys((each.record.owner for each in found) if names is None else names, "")
    turns = _turns(found)
    chosen: list[Inspected] = [each.subject for each in removals(causes, found)]
    owners: list[str] = []
    for _, together in groupby(chosen, key=lambda each: turns[each.id]):
        going = list(together)
        say(Progress(", ".join(f"`{each.instance}`" for each in going), "to stop"))
        await asyncio.gather(*(let_go(session, each) for each in going))
        owners += [each.record.owner for each in going if each.record.kind != "setup"]
    if names is None:
        await _clear(session, data=data)
    elif data:
        for name in dict.fromkeys(each.record.owner for each in chosen):
            await _volumes(session, f"{NAME}={name}")
    return tuple(dict.fromkeys(owners))


def _turns(found: Sequence[Inspected]) -> Mapping[str, tuple[bool, int]]:
    """Return when each is stopped, by id: first of all what passes requests on, then what others do not depend on."""
    ranks = _ranks(found)
    return {each.id: (each.record.drain is None, -ranks[each.record.owner]) for each in found}


def _ranks(found: Sequence[Inspected]) -> Mapping[str, int]:
    """Return how many others each depends on: what depends on it is stopped before it."""
    needs = {each.record.owner: each.record.needs for each in found}
    ranks: dict[str, int] = {}

    def rank(name: str, above: frozenset[str]) -> int:
        if name not in ranks:
            below = (rank(need, above | {name}) for need in needs.get(name, ()) if need not in above)
            ranks[name] = 1 + max(below, default=0)
        return ranks[name]

    for name in needs:
        rank(name, frozenset({name}))
    return ranks


async def _clear(session: EngineSession, *, data: bool) -> None:
    """Remove what no container needs any more; the network last, for others may be in it."""
    identity, engine = session.identity, session.engine
    await _volumes(session, *(() if data else (f"{KIND}=files",)))
    if data:
        images = await engine.ask(lambda api: api.images(filters=identity.filters()))
        for reference in (name for each in images for name in each.get("RepoTags") or [each["Id"]]):
            with suppress(EngineRefusedError):  # a foreign container runs on it
                await engine.ask(methodcaller("remove_image", reference))
    for network in await engine.ask(lambda api: api.networks(filters=identity.filters())):
        await _network(session, network)
    if data:
        for folder in (identity.secrets, identity.logs, identity.private):
            remove_folder(folder, ignore_errors=True)


async def _network(session: EngineSession, network: Mapping[str, Any]) -> None:
    try:
        await session.engine.ask(lambda api: api.remove_network(network["Id"]))
    except EngineRefusedError as error:
        if error.status == GONE:
            return
        there = await session.engine.ask(lambda api: api.inspect_network(network["Id"]))
        names = ", ".join(f"`{each['Name']}`" for each in (there.get("Containers") or {}).values())
        raise PermanentError(
            f"the network `{network['Name']}` is still used by {names or 'another one'}, not stepflow's",
            hint="`docker network disconnect` them, then retry; all containers of the platform are removed",
        ) from error


async def _volumes(session: EngineSession, *labels: str) -> None:
    """Remove the platform's volumes with these labels; one that a copy of ours still has stays.

    Raises `PermanentError` for one that a foreign container has.
    """
    engine = session.engine
    listed = await engine.ask(lambda api: api.volumes(filters=session.identity.filters(*labels)))
    for name in (each["Name"] for each in listed.get("Volumes") or ()):
        try:
            await engine.ask(methodcaller("remove_volume", name))
        except EngineRefusedError as error:
            having: Mapping[str, list[str]] = {"volume": [name]}
            users = await engine.ask(methodcaller("containers", all=True, filters=having))
            foreign = ", ".join(
                f"`{each['Names'][0][1:]}`" for each in users if not session.identity.owns(each["Labels"])
            )
            if foreign:
                raise PermanentError(
                    f"the volume `{name}` is still used by {foreign}, not stepflow's",
                    hint="`docker rm` them, then retry; all containers of the platform are removed",
                ) from error
