"""Check that what a values file names exists: a mistyped name would silently change nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from stepflow.errors import UsageError
from stepflow.targets.kubernetes.manifests.network import MESH
from stepflow.targets.kubernetes.options.values import Values
from stepflow.targets.resolved import backing_services, resolve
from stepflow.workload import Declaration

_ADMIN = ""  # the key of the administrator's URL


def require_named(values: Values, declarations: Sequence[Declaration]) -> None:
    """Raise `UsageError` for a workload, a database or an entry of the values that no step of the document declares.

    Raises `PermanentError` as `resolve` does.
    """
    workloads = [resolve(workload) for each in declarations for workload in each.workloads]
    names = {each.name for each in workloads}
    for each in values.egress:
        _require("egress", "workload", each.workload, names)
    servers = backing_services((server for each in declarations for server in each.servers), workloads)
    databases = {each.database for each in servers if each.kind == "postgres"}
    for name in values.postgres.external:
        _require("postgres.external", "database", name, databases | {_ADMIN})
    if values.entry and not any(MESH in each.ports for each in workloads):
        hint = "leave `entry` out, or add a step with the playbook `service-discovery`"
        raise UsageError("the values have an `entry`, and no step of the document declares a gateway", hint=hint)


def _require(field: str, what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        there = ", ".join(f"`{each}`" for each in sorted(known) if each) or "none"
        problem = f"`{field}` of the values names the {what} `{name}`, which no step of the document declares"
        raise UsageError(problem, hint=f"did you mean `{near[0]}`?" if near else f"there are: {there}")
