"""What the orchestration step passes on."""

from __future__ import annotations

from stepflow.handoff import Handoff


class OrchestrationHandoff(Handoff):
    """The Kubernetes bundle: where it lies, how much it holds, and whether a cluster has it."""

    bundle: tuple[str, ...]
    """Files and folders below the rendered tree."""
    objects: int
    kubernetes_version: str
    namespace: str
    applied: bool
    not_applied: str = ""
    """What was not applied and why, in words; empty when all of it was."""
