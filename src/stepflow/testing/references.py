"""Finds the references in a declaration or a handoff, and dangling ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel

from stepflow.handoff import ConfigFile, DataDir, Endpoint, Handoff, SecretFile, ServerFile
from stepflow.workload import Declaration, Workload

Reference = Endpoint | SecretFile | ServerFile | DataDir | ConfigFile
_KINDS = (Endpoint, SecretFile, ServerFile, DataDir, ConfigFile)


def references(value: object) -> Iterator[Reference]:
    """Yield every reference inside a value: models, mappings, lists and tuples are searched."""
    if isinstance(value, _KINDS):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from references(inner)
    elif hasattr(value, "secret"):  # a Credential
        yield from references(value.secret)


def dangling(declaration: Declaration, known: Iterable[Workload], foreign: Iterable[Handoff]) -> list[str]:
    """Describe each reference of the workloads that leads nowhere; what handoffs name exists."""
    workloads = {workload.name: workload for workload in (*known, *declaration.workloads)}
    given = {endpoint.workload for endpoint in references(list(foreign)) if isinstance(endpoint, Endpoint)}
    servers: set[tuple[str, str]] = {(server.kind, server.database) for server in declaration.servers}
    found = []
    for workload in declaration.workloads:
        for reference in references([workload.command, workload.migrate, workload.env, workload.configs]):
            problem = _problem(reference, workload, workloads, given, servers)
            if problem:
                found.append(f"workload `{workload.name}`: {problem}")
        found += [
            f"workload `{workload.name}` needs `{need}`, which is not declared"
            for need in workload.needs
            if need not in workloads and need not in given
        ]
    return found


def _problem(
    reference: Reference,
    workload: Workload,
    workloads: Mapping[str, Workload],
    given: set[str],
    servers: set[tuple[str, str]],
) -> str:
    if isinstance(reference, DataDir) and reference.name not in workload.data:
        return f"`DataDir({reference.name!r})` is not in its `data`"
    if isinstance(reference, ConfigFile) and reference.name not in workload.configs:
        return f"`ConfigFile({reference.name!r})` is not in its `configs`"
    if isinstance(reference, ServerFile) and (reference.kind, reference.database) not in servers:
        return f"`{reference}` is not among the declared `servers`"
    if isinstance(reference, Endpoint) and reference.workload not in given:
        there = workloads.get(reference.workload)
        if there is None:
            return f"`{reference}` names a workload that is not declared"
        if reference.port not in {port.name for port in there.ports}:
            return f"`{reference}` names a port that `{there.name}` does not have"
    return ""
