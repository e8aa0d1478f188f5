"""The orchestration playbook: takes what every earlier step declared and makes it ready for production."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.handoff import Handoff
from stepflow.playbook import Check, Feature, Playbook, StepInput, Takes
from stepflow.targets.kubernetes.manifests.names import dns_label
from stepflow.workload import Declaration

from .bundle.files import CHART, MANIFESTS, README, SECRETS_LIST, SECRETS_SCRIPT, bundle_files
from .bundle.manifests import every, manifests
from .bundle.model import Bundle, Scale
from .bundle.references import merged
from .checks import CLUSTER, bundle_checks, containers_check, replicas_check
from .handoff import OrchestrationHandoff
from .settings import OrchestrationSettings


class Orchestration(Playbook[OrchestrationSettings]):
    """Replicas and health on the target, and the whole platform as a Kubernetes bundle."""

    name: ClassVar[str] = "orchestration"
    version: ClassVar[str] = "1"
    summary: ClassVar[str] = "Kubernetes bundle of the whole platform, replicas and health checks"
    settings = OrchestrationSettings
    gives: ClassVar[type[OrchestrationHandoff]] = OrchestrationHandoff
    takes: ClassVar[tuple[Takes, ...]] = (Takes(Handoff, collects=True),)
    features: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "auto-scaling",
            ("auto-scaling", "autoscaling", "auto-scale", "autoscale", "HPA", "horizontal pod autoscaler"),
            "HorizontalPodAutoscalers that follow the use of CPU",
        ),
        Feature(
            "health-checks",
            ("health checks", "health check", "probes", "self-healing"),
            "startup, readiness and liveness probes, and checks of the running copies",
            always=True,
        ),
    )

    def declare(self, step: StepInput[OrchestrationSettings]) -> Declaration:
        """Declare how the platform is run, to a cluster; elsewhere the workloads of the earlier steps are all."""
        return Declaration(production=bundle_of(step).production) if step.target == CLUSTER else Declaration()

    def render(self, step: StepInput[OrchestrationSettings]) -> Mapping[str, bytes]:
        """Render the Kubernetes bundle of everything collected."""
        return bundle_files(bundle_of(step))

    def handoff(self, step: StepInput[OrchestrationSettings]) -> OrchestrationHandoff:
        """Say where the bundle is, what it holds, and whether a cluster has what it says."""
        bundle = bundle_of(step)
        count = len(every(manifests(bundle)))
        applied = step.target == CLUSTER
        return OrchestrationHandoff(
            delivers=step.delivers,
            bundle=(MANIFESTS, CHART, SECRETS_LIST, SECRETS_SCRIPT, README),
            objects=count,
            kubernetes_version=step.settings.kubernetes_version,
            namespace=bundle.namespace,
            applied=applied,
            not_applied=""
            if applied
            else f"{count} Kubernetes objects were rendered and validated, not applied: "
            f"the platform runs on the target `{step.target}`, which is no cluster",
        )

    def checks(self, step: StepInput[OrchestrationSettings]) -> Collection[Check]:
        """Check the bundle, the running copies, and that every service can be built into an image."""
        bundle = bundle_of(step)
        return (
            *bundle_checks(bundle, step.settings.kubernetes_version, step.target),
            replicas_check(bundle, step.target),
            containers_check(bundle),
        )


def bundle_of(step: StepInput[OrchestrationSettings]) -> Bundle:
    """Put together what the earlier steps declared and what this one is set to."""
    settings = step.settings
    workloads, servers = merged(step.declarations[number] for number in sorted(step.declarations))
    return Bundle(
        name=step.platform,
        namespace=settings.namespace or dns_label(step.platform),
        registry=settings.registry,
        image_tag=settings.image_tag,
        workloads=workloads,
        servers=servers,
        scale=Scale(settings.replicas, settings.max_replicas, settings.cpu_target, "auto-scaling" in step.features),
    )
