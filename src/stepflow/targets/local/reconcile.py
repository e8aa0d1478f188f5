"""The actions that turn the observed state into the desired one, each with its cause. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from stepflow.handoff import ServerFile
from stepflow.targets.actions import Action, summed
from stepflow.targets.addresses import server_secret
from stepflow.targets.contract import Site
from stepflow.targets.local.databases import BEFORE
from stepflow.targets.local.desired import (
    Definition,
    Unit,
    database_name,
    define,
    instance_name,
    secret_name,
)
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.observed import PASSED_ON, LocalState
from stepflow.targets.local.servers import SERVERS
from stepflow.targets.local.spec import Process, ProcessStatus, digest_of
from stepflow.targets.resolution import Numbers

ANOTHER_PORT = "another port"
START = Action("start", "supervisor", "it does not run; what stopped with it starts again", "supervisor")
"""Comes first wherever the platform has processes and no supervisor."""
_WORDS: Mapping[str, str] = {
    "command": "its command changed",
    "configuration": "its configuration changed",
    "cwd": "its folder changed",
    "ports": "its ports changed",
    "ready": "its readiness probe changed",
    "live": "its liveness probe changed",
    "data": "its data directories changed",
}
_REST = "the way it is run changed"
_DIGEST = "what it is made from changed"
_UNCOMPARED = {"env", "digest", "found", "stamp", "program", "preparation", "account"}
"""Compared on their own, or no part of what a process is: its program's path, and how a directory was once made."""


@dataclass(frozen=True, slots=True)
class Where:
    """What a comparison needs besides what is desired and what is observed."""

    site: Site
    layout: Layout
    known: frozenset[str] = frozenset()  # workloads whose addresses others hold
    declared: Numbers = field(default_factory=dict)  # the ports of all workloads of the platform, as declared


def reconcile(unit: Unit, now: LocalState, where: Where) -> tuple[Action, ...]:
    """Compare one unit. Raises `PermanentError` for a definition that cannot be carried out."""
    match unit.kind:
        case "server":
            return (_server(unit, now, where),)
        case "database":
            return (_database(unit, now),)
        case "workload":
            return _workload(unit, now, where)


def _database(unit: Unit, now: LocalState) -> Action:
    there = now.databases.get(unit.database)
    if there is None:
        return Action("create", unit.name, "it does not exist", unit.name)
    name = server_secret(ServerFile("postgres", unit.database))
    if name not in now.secrets:
        return Action("change", unit.name, f"its password, the secret `{name}`, is gone", unit.name)
    if there.password not in {BEFORE, digest_of(now.secrets[name])}:
        return Action("change", unit.name, f"its password, the secret `{name}`, changed", unit.name)
    return Action("keep", unit.name, "it exists", unit.name)


def _server(unit: Unit, now: LocalState, where: Where) -> Action:
    name = unit.name
    there = now.processes.get(name)
    if there is None:
        return Action("create", name, "it does not exist", name)
    if fault := _taken(now, there) or _fault(server_definition(name, now, where.layout), there, now):
        return Action("replace", name, fault, name)
    return _standing(there, now.statuses[name])


def server_definition(kind: str, now: LocalState, layout: Layout) -> Definition:
    """Define a server from the ports that were chosen for it."""
    module = SERVERS[kind]
    there = now.processes.get(kind)
    numbers = {port: now.ports.get(f"{kind}/{port}") or (there.ports[port] if there else 0) for port in module.ports}
    return module.define(layout, numbers, now)


def _workload(unit: Unit, now: LocalState, where: Where) -> tuple[Action, ...]:
    """Reach the desired number of good copies, then drop the others."""
    assert unit.resolved is not None
    replicas = unit.resolved.workload.replicas
    copies = now.copies(unit.name)
    faults = {number: _copy_fault(unit, number, process, now, where) for number, process in copies.items()}
    good = sorted(
        (n for n in copies if not faults[n][0]), key=lambda n: (now.statuses[copies[n].name].state != "ready", n)
    )
    bad = [number for number in copies if faults[number][0]]
    actions = [_standing(copies[number], now.statuses[copies[number].name]) for number in sorted(good[:replicas])]
    missing = replicas - len(good[:replicas])
    replaced, bad = bad[:missing], bad[missing:]
    taken = set(copies)
    for _ in range(missing - len(replaced)):  # numbered first: they are created before anything is replaced
        number = _free(taken)
        taken.add(number)
        cause = f"{len(copies)} of {replicas} copies exist" if copies else "it does not exist"
        actions.append(Action("create", instance_name(unit.name, number), cause, unit.name, subject=number))
    in_place = _stays(unit, where)
    for old in replaced:
        cause, when = faults[old]
        number = old if in_place else _free(taken)
        taken.add(number)
        name, before = instance_name(unit.name, number), "" if in_place else copies[old].name
        actions.append(Action("replace", name, cause, unit.name, when, before, subject=number))
        taken.discard(old if not in_place else 0)  # it is gone when the next one is made
    surplus = f"only {replicas} {'copy is' if replicas == 1 else 'copies are'} desired"
    return (*actions, *(Action("remove", copies[n].name, surplus, unit.name) for n in (*bad, *good[replicas:])))


def _copy_fault(unit: Unit, number: int, process: Process, now: LocalState, where: Where) -> tuple[str, str]:
    """Return why a copy cannot stay, and on what that still depends; ("", "") when it can stay."""
    assert unit.resolved is not None
    if taken := _taken(now, process):
        return taken, ""
    held = {*(each.workload for each in unit.resolved.endpoints), *unit.resolved.servers}
    unknown = sorted(held - {unit.name} - now.numbers.keys())
    if unknown and all(each in {*where.declared, *SERVERS} for each in unknown):
        if process.digest == unit.digest:
            return f"the address of `{unknown[0]}`, which it holds, is chosen when that is started", ANOTHER_PORT
        now = _with_ports(now, unknown, where)
    fresh = define(where.site, where.layout, unit, number, own=own_ports(unit, number, now), now=now)
    return _fault(fresh, process, now), ""


def _with_ports(now: LocalState, names: Sequence[str], where: Where) -> LocalState:
    """Return the state with ports for what is to get others, those that it had or 0.

    With them, a change that does not depend on ports is found.
    """
    ports = {name: SERVERS[name].ports if name in SERVERS else tuple(where.declared[name]) for name in names}
    assumed = {f"{name}-1/{port}": 0 for name in names for port in ports[name]}
    return replace(now, ports={**now.ports, **assumed}, taken=frozenset())


def own_ports(unit: Unit, number: int, now: LocalState) -> dict[str, int]:
    """Return the ports of a copy, as they were chosen; 0 for one that is yet to be."""
    assert unit.resolved is not None
    name = instance_name(unit.name, number)
    there = now.processes.get(name)
    kept = dict(there.ports) if there else {}
    return {port: now.ports.get(f"{name}/{port}", kept.get(port, 0)) for port in unit.resolved.ports}


def _taken(now: LocalState, process: Process) -> str:
    """Return which of its ports another program took while the platform was down."""
    numbers = sorted(now.taken & set(process.ports.values()))
    return f"its port {numbers[0]} was taken by something else; another is chosen" if numbers else ""


def _fault(fresh: Definition, there: Process, now: LocalState) -> str:
    """Return how a process differs from what it should be; "" when it does not."""
    found = list(differences(there, fresh.process))
    if there.env.keys() - PASSED_ON == fresh.process.env.keys() - PASSED_ON:  # else it now reads what it did not
        found = list(_vanished(fresh, there, now)) or found
    found = found or list(_changed_files(fresh, now.configurations.get(there.name, {})))
    return summed(found)


def _vanished(fresh: Definition, there: Process, now: LocalState) -> Iterator[str]:
    """Return what a process reads or writes and what is gone, or is another than the one that it started with."""
    if there.name in now.gone:
        yield now.gone[there.name]
    for name in dict.fromkeys((*fresh.process.data, *(folder.name for folder in fresh.folders))):
        if name not in now.data:
            yield f"its data directory `{name}` is gone"
    on_disk = {secret_name(name): digest_of(text) for name, text in now.secrets.items()}
    on_disk |= {database_name(name): each.birth for name, each in now.databases.items()}
    for name, value in fresh.process.found.items():
        known = {value, on_disk.get(name, ""), there.found.get(name, BEFORE)} - {BEFORE}
        if "" in known or len(known) > 1:
            yield f"its {name} is not the one that it started with"
    if there.name == "postgres":
        yield from now.drifted


def _changed_files(fresh: Definition, on_disk: Mapping[str, str]) -> Iterator[str]:
    for name, text in fresh.files.items():
        if on_disk.get(name) != digest_of(text):
            yield f"its file `{name}` was changed on disk"


def differences(old: Process, new: Process) -> Iterator[str]:
    """Return how two definitions of a process differ.

    The user's session, the path of its program and when it was started do not count. That it is made from something
    else is said where no field says more.
    """
    found = list(_fields(old, new))
    yield from found
    if not found and old.digest != new.digest:
        yield _DIGEST


def _fields(old: Process, new: Process) -> Iterator[str]:
    before, now = _plain(old), _plain(new)
    for name in sorted(old.env.keys() | new.env.keys()):
        if name not in PASSED_ON and old.env.get(name) != new.env.get(name):
            yield f"its variable `{name}` changed"
    if old.program and new.program and old.program != new.program:  # version 0.1.0 did not record it
        yield f"its program changed: {old.program} -> {new.program}"
    yield from dict.fromkeys(_WORDS.get(key, _REST) for key in now if before[key] != now[key])


def _plain(process: Process) -> dict[str, object]:
    """Return all that makes a process what it is, but its environment, as JSON reads it back."""
    whole: dict[str, object] = json.loads(json.dumps({**asdict(process), "command": process.arguments}))
    return {key: value for key, value in whole.items() if key not in _UNCOMPARED}


def _standing(process: Process, status: ProcessStatus) -> Action:
    """Return the action for a copy that is as desired."""
    name, owner = process.name, process.owner
    match status.state:
        case "ready":
            return Action("keep", name, "unchanged and ready", owner)
        case "failed":
            return Action("restart", name, status.detail or "it failed", owner)
        case "stopped":
            return Action("wait", name, "it starts with the supervisor", owner)
        case _:
            return Action("wait", name, status.detail or "it is starting", owner)


def _stays(unit: Unit, where: Where) -> bool:
    """Return whether it is replaced in place: its data is for one process, or its address is known to others."""
    assert unit.resolved is not None
    workload = unit.resolved.workload
    return bool(workload.data) or unit.name in where.known or any(port.published for port in workload.ports)


def _free(taken: set[int]) -> int:
    return next(number for number in range(1, len(taken) + 2) if number not in taken)
