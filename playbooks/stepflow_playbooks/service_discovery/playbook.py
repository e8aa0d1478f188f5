"""The playbook service-discovery: a registry, and Envoy as gateway and mesh that follows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.service_discovery.checks import checks
from stepflow_playbooks.service_discovery.handoff import GatewayHandoff
from stepflow_playbooks.service_discovery.settings import ServiceDiscoverySettings
from stepflow_playbooks.service_discovery.workloads import NAME, control_plane, gateway


class ServiceDiscovery(Playbook[ServiceDiscoverySettings]):
    """Everything that finds and reaches services."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Registry, API gateway and service mesh (Envoy)"
    settings = ServiceDiscoverySettings
    gives: ClassVar[type[GatewayHandoff]] = GatewayHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("registry", ("service discovery", "registry", "consul"), "who runs where", always=True),
        Feature("gateway", ("api gateway", "gateway"), "one entrance for people", always=True),
        Feature("mesh", ("service mesh", "mesh"), "services call each other through Envoy", always=True),
        Feature("round-robin", ("round robin",), "instances in turn instead of the less busy of two"),
    )

    def render(self, step: StepInput[ServiceDiscoverySettings]) -> Mapping[str, bytes]:
        """The control plane's source."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[ServiceDiscoverySettings]) -> Declaration:
        """Control plane, Envoy, NATS."""
        settings = step.settings
        words = "round-robin" if "round-robin" in step.features else "least-request"
        plane = control_plane(settings, settings.load_balancing or words, step.platform)
        return Declaration(workloads=(plane, gateway(settings)), servers=(Server("nats"),))

    def checks(self, step: StepInput[ServiceDiscoverySettings]) -> Collection[Check]:
        """The gateway and the registry answer; the mesh leads on; nobody notices a killed instance."""
        del step
        return checks()
