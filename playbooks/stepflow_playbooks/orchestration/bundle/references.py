"""References seen from inside a cluster: service names, mounted files, claimed volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.workload import Declaration, Json, Server, Workload

from .model import Platform
from .names import CONFIGS, DATA, secret_path

EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a pod; the NetworkPolicy says who gets through


def resolve(platform: Platform, value: Value) -> str:
    """Resolve a reference to text. Raises `PermanentError` for a port that no step declares."""
    if isinstance(value, str):
        return value
    if isinstance(value, Endpoint):
        return _endpoint(platform, value)
    if isinstance(value, SecretFile | ServerFile):
        return secret_path(value)
    return f"{DATA if isinstance(value, DataDir) else CONFIGS}/{value.name}"


def _endpoint(platform: Platform, endpoint: Endpoint) -> str:
    number = platform.port_number(endpoint.workload, endpoint.port)
    match endpoint.part:
        case "host":
            return endpoint.workload
        case "port":
            return str(number)
        case "address":
            return f"{endpoint.workload}:{number}"
        case "bind":
            return EVERYWHERE
        case "url" | "public":  # the bundle publishes nothing: people reach it by a forwarded port
            return f"http://{endpoint.workload}:{number}{endpoint.path}"


def resolve_json(platform: Platform, value: Json) -> Any:  # noqa: ANN401 - any JSON
    """Resolve all references in a JSON value; a port becomes a number."""
    if isinstance(value, dict):
        return {key: resolve_json(platform, item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve_json(platform, item) for item in value]
    if isinstance(value, Endpoint) and value.part == "port":
        return int(resolve(platform, value))
    if isinstance(value, Endpoint | SecretFile | ServerFile | DataDir | ConfigFile):
        return resolve(platform, value)
    return value


def references(workload: Workload) -> Iterator[Value]:
    """Give every reference in a workload's command, environment and configuration files."""
    for value in (*workload.command, *workload.env.values()):
        if not isinstance(value, str):
            yield value
    for document in workload.configs.values():
        yield from _in_json(document)


def _in_json(value: Json) -> Iterator[Value]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _in_json(item)
    elif isinstance(value, list):
        for item in value:
            yield from _in_json(item)
    elif isinstance(value, Endpoint | SecretFile | ServerFile | DataDir | ConfigFile):
        yield value


def files(workload: Workload) -> tuple[SecretFile | ServerFile, ...]:
    """Give the secrets that a workload reads from files, each once, in order."""
    found = {secret_path(v): v for v in references(workload) if isinstance(v, SecretFile | ServerFile)}
    return tuple(found[path] for path in sorted(found))


def merged(declarations: Iterable[Declaration]) -> tuple[tuple[Workload, ...], tuple[Server, ...]]:
    """Give the workloads and backing services of several steps, each once, ordered by name.

    A backing service that a workload refers to is there also where no step lists it.
    """
    steps = tuple(declarations)
    workloads = {workload.name: workload for step in steps for workload in step.workloads}
    servers = {(server.kind, server.database): server for step in steps for server in step.servers}
    for workload in workloads.values():
        for value in references(workload):
            if isinstance(value, ServerFile):
                servers.setdefault((value.kind, value.database), Server(value.kind, value.database))
    return tuple(workloads[name] for name in sorted(workloads)), tuple(servers[key] for key in sorted(servers))
