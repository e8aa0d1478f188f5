"""What cannot work of a declaration, found when the plan is made and blamed on the playbook. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import get_args

from stepflow.blame import called
from stepflow.errors import PermanentError
from stepflow.playbook import Playbook, StepInput
from stepflow.render.tree import require_paths
from stepflow.targets.addresses import role
from stepflow.targets.resolved import Resolved, resolve
from stepflow.workload import (
    LONGEST_ARGUMENT,
    Declaration,
    HttpProbe,
    Job,
    Port,
    Production,
    Server,
    ServerKind,
    Workload,
)

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KINDS = get_args(ServerKind)
_HIGHEST_PORT = 65535

PortNames = Mapping[str, Collection[str]]
"""Workload or server of the whole platform -> the names of its ports."""


def require_possible(
    playbook: Playbook, step: StepInput, declaration: Declaration, tree: Collection[str]
) -> tuple[Resolved, ...]:
    """Return the workloads of a declaration, resolved; `tree` has the rendered paths.

    Raises `PermanentError` for a declaration that no target could carry out.
    """
    _refuse(playbook, step, _faults(declaration, tree))
    found: list[Resolved] = []
    for each in declaration.workloads:
        try:
            found.append(resolve(each))
        except PermanentError as error:
            _refuse(playbook, step, iter([error.message]))
    _refuse(playbook, step, (fault for each in found for fault in _of_names(each)))
    return tuple(found)


def require_declared(playbook: Playbook, step: StepInput, workloads: Iterable[Resolved], declared: PortNames) -> None:
    """Raise `PermanentError` for a workload that refers to what no step of the platform declares."""
    _refuse(playbook, step, _dangling(workloads, declared))


def _refuse(playbook: Playbook, step: StepInput, faults: Iterator[str]) -> None:
    if (first := next(faults, "")) == "":
        return
    said = f"{called('playbook', playbook.name)} declares in step {step.number} what cannot work: {first}"
    raise PermanentError(said, hint=f"fix `declare` of `{playbook.name}`, or the inputs of step {step.number}")


def _faults(declaration: Declaration, tree: Collection[str]) -> Iterator[str]:
    kinds: tuple[tuple[str, type, Callable[..., Iterator[str]]], ...] = (
        ("workloads", Workload, lambda each: _of_workload(each, tree)),
        ("servers", Server, _of_server),
        ("jobs", Job, _of_job),
    )
    for place, kind, faults in kinds:
        values = getattr(declaration, place)
        yield from _several(f"`{place}`", values, kind)
        for each in values:
            yield from faults(each)
    yield from _twice("workloads", [each.name for each in declaration.workloads])
    yield from _twice("jobs", [each.name for each in declaration.jobs])
    try:
        require_paths(tree)
    except ValueError as error:
        yield str(error)
    if not isinstance(declaration.production, Production | None):
        yield f"`production` is {declaration.production!r}, not a `Production`"


def _of_workload(each: Workload, tree: Collection[str]) -> Iterator[str]:
    if not (isinstance(each.name, str) and _NAME.fullmatch(each.name)) or each.name in _KINDS:
        yield f"`{each.name}` cannot be the name of a workload; use at most 63 of a-z, 0-9 and `-`"
    of = f"of the workload `{each.name}`"
    if not (each.command and isinstance(each.command[0], str) and each.command[0]):
        yield f"`command` {of} is {each.command!r}, and does not begin with a program"
    if not _whole(each.replicas) or each.replicas < 1:
        yield f"`replicas` {of} is {each.replicas!r}, not a number from 1"
    if not _at_least_zero(each.stop_grace):
        yield f"`stop_grace` {of} is {each.stop_grace!r}, not a number of seconds"
    yield from _several(f"`ports` {of}", each.ports, Port)
    for port in each.ports:
        if not _whole(port.number) or not 0 < port.number <= _HIGHEST_PORT:
            yield f"port `{port.name}` {of} is {port.number!r}, not a number from 1 to {_HIGHEST_PORT}"
    for probe in (each.ready,) if each.live is None else (each.ready, each.live):
        yield from _of_probe(probe, of, {port.name for port in each.ports})
    if each.context and not any(path.startswith(f"{each.context}/") for path in tree):
        yield f"`context` {of} is `{each.context}`, a folder in which the step renders nothing"
    yield from _of_collections(each, of)


def _of_collections(each: Workload, of: str) -> Iterator[str]:
    if not isinstance(each.configs, Mapping):
        yield f"`configs` {of} is {each.configs!r}, not a mapping"
    yield from _several(f"`needs` {of}", each.needs, str)
    yield from _several(f"`data` {of}", each.data, str)


def _of_names(each: Resolved) -> Iterator[str]:
    """Check what is called by a name: files, folders and databases."""
    named = [("config", name) for name in each.workload.configs] + [("data directory", name) for name in each.data]
    named += [("secret", secret.name) for secret in each.secrets]
    for what, name in named:
        if not (isinstance(name, str) and _FILE.fullmatch(name)):
            yield (
                f"`{name}` cannot be the name of a {what} of the workload `{each.name}`; "
                f"use letters, digits, `.`, `_` and `-`"
            )
    for file in each.server_files:
        yield from _of_database(file.database)


def _of_probe(probe: object, of: str, ports: Collection[str]) -> Iterator[str]:
    if not isinstance(probe, HttpProbe):
        yield f"a probe {of} is {probe!r}, not an `HttpProbe`"
    elif probe.port not in ports:
        yield f"a probe {of} uses port `{probe.port}`, which it does not declare"


def _of_server(each: Server) -> Iterator[str]:
    if each.kind not in _KINDS:
        yield f"there is no backing service `{each.kind}`; one of: {', '.join(f'`{kind}`' for kind in _KINDS)}"
    yield from _of_database(each.database)


def _of_database(name: object) -> Iterator[str]:
    try:
        if not isinstance(name, str) or (name and not role(name)):
            yield f"the name of a database is {name!r}, not a text"
    except PermanentError as error:
        yield f"{error.message}; {error.hint}"


def _of_job(each: Job) -> Iterator[str]:
    of = f"of the job `{each.name}`"
    if not (isinstance(each.name, str) and each.name):
        yield f"{each.name!r} cannot be the name of a job"
    if not (each.command and each.command[0]):
        yield f"`command` {of} is {each.command!r}, and does not begin with a program"
    for word in each.command:
        if (size := len(word.encode(errors="surrogatepass"))) > LONGEST_ARGUMENT:
            yield f"a word of {size:,} bytes in `command` {of}; the system takes words of at most {LONGEST_ARGUMENT:,}"
    if each.timeout is not None and not (_at_least_zero(each.timeout) and each.timeout):
        yield f"`timeout` {of} is {each.timeout!r}, not seconds above 0"
    if not _whole(each.retries) or each.retries < 0:
        yield f"`retries` {of} is {each.retries!r}, not a number from 0"


def _dangling(workloads: Iterable[Resolved], declared: PortNames) -> Iterator[str]:
    for each in workloads:
        for need in each.workload.needs:
            if need not in declared:
                yield f"the workload `{each.name}` needs `{need}`, which no step declares"
            if need == each.name:
                yield f"the workload `{each.name}` needs itself"
        for value in each.endpoints:
            if value.workload not in declared:
                yield f"the workload `{each.name}` refers to `{value.workload}`, a workload that no step declares"
            elif value.workload not in _KINDS and value.part != "host" and value.port not in declared[value.workload]:
                yield f"the workload `{each.name}` refers to port `{value.port}`, which `{value.workload}` lacks"


def _several(what: str, values: object, kind: type | tuple[type, ...]) -> Iterator[str]:
    if not isinstance(values, tuple | list):
        yield f"{what} is {values!r}, not a tuple"
        return
    yield from (f"{each!r} cannot stand in {what}" for each in values if not isinstance(each, kind))


def _twice(what: str, names: list[str]) -> Iterator[str]:
    yield from (f"two {what} are called `{name}`" for name, count in Counter(names).items() if count > 1)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at_least_zero(value: object) -> bool:
    return isinstance(value, int | float) and value >= 0
