"""What several steps declare, taken together."""

from __future__ import annotations

from collections.abc import Iterable

from stepflow.targets.references import server_files
from stepflow.workload import Declaration, Server, Workload


def merged(declarations: Iterable[Declaration]) -> tuple[tuple[Workload, ...], tuple[Server, ...]]:
    """Give the workloads and backing services of several steps, each once, ordered by name.

    A backing service that a workload refers to is there also where no step lists it.
    """
    steps = tuple(declarations)
    workloads = {workload.name: workload for step in steps for workload in step.workloads}
    servers = {(server.kind, server.database): server for step in steps for server in step.servers}
    for workload in workloads.values():
        for file in server_files(workload):
            servers.setdefault((file.kind, file.database), Server(file.kind, file.database))
    return tuple(workloads[name] for name in sorted(workloads)), tuple(servers[key] for key in sorted(servers))
