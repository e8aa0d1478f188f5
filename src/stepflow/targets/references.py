"""What a workload refers to, wherever in its commands, environment or configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.workload import Workload


def references(workload: Workload) -> tuple[Value, ...]:
    """List everything that a workload refers to."""

    def within(value: object) -> Iterator[Value]:
        if isinstance(value, Endpoint | ServerFile | SecretFile | DataDir | ConfigFile):
            yield value
        elif isinstance(value, Mapping):
            yield from within(list(value.values()))
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from within(inner)

    return tuple(within([workload.command, workload.migrate, workload.env, workload.configs]))


def server_files(workload: Workload) -> tuple[ServerFile, ...]:
    """List the backing services that a workload refers to."""
    return tuple(value for value in references(workload) if isinstance(value, ServerFile))
