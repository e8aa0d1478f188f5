"""The playbook service-discovery: a registry, and Envoy as gateway and mesh that follows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.errors import PermanentError
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.service_discovery.checks import checks
from stepflow_playbooks.service_discovery.handoff import GatewayHandoff
from stepflow_playbooks.service_discovery.settings import ServiceDiscoverySettings
from stepflow_playbooks.service_discovery.workloads import NAME, control_plane, gateway


class ServiceDiscovery(Playbook):
    """Everything that finds and reaches services."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Registry, API gateway and service mesh (Envoy)"
    settings: ClassVar[type[Settings]] = ServiceDiscoverySettings
    gives: ClassVar[type[GatewayHandoff]] = GatewayHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("registry", ("service discovery", "registry", "consul"), "who runs where", always=True),
        Feature("gateway", ("api gateway", "gateway"), "one entrance for people", always=True),
        Feature("mesh", ("service mesh", "mesh"), "services call each other through Envoy", always=True),
        Feature("round-robin", ("round robin",), "instances in turn instead of the less busy of two"),
    )

    def render(self, step: StepInput) -> Mapping[str, bytes]:
        """The control plane's source."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": _settings(step)})

    def declare(self, step: StepInput) -> Declaration:
        """Control plane, Envoy, NATS."""
        settings = _settings(step)
        words = "round-robin" if "round-robin" in step.features else "least-request"
        plane = control_plane(settings, settings.load_balancing or words)
        return Declaration(workloads=(plane, gateway(settings)), servers=(Server("nats"),))

    def checks(self, step: StepInput) -> Collection[Check]:
        """The gateway and the registry answer; the mesh leads on; nobody notices a killed instance."""
        del step
        return checks()


def _settings(step: StepInput) -> ServiceDiscoverySettings:
    if not isinstance(step.settings, ServiceDiscoverySettings):
        raise PermanentError(f"step {step.number} has the settings of another playbook")
    return step.settings
