"""The orchestration playbook: takes what every earlier step declared and makes it ready for production."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stepflow.handoff import Handoff
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput, Takes
from stepflow.targets.kubernetes.manifests.names import dns_label
from stepflow.workload import Declaration

from .bundle.files import CHART, MANIFESTS, README, SECRETS_LIST, SECRETS_SCRIPT, bundle_files
from .bundle.manifests import every, manifests
from .bundle.model import Bundle, Scale
from .bundle.references import merged
from .checks import CLUSTER, bundle_checks, containers_check, replicas_check
from .handoff import OrchestrationHandoff

KubernetesVersion = Literal["1.33", "1.34", "1.35", "1.36", "1.37"]
DnsLabel = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")]


class OrchestrationSettings(Settings):
    """How far services scale, and where in a cluster the platform lives."""

    replicas: int = Field(default=3, ge=1, le=1000)
    """Copies of each scalable service at least. Three survive a node that drains while another fails."""
    max_replicas: int = Field(default=10, ge=1, le=5000)
    """Copies of each scalable service at most."""
    cpu_target: int = Field(default=70, ge=10, le=95)
    """Average use of CPU by a copy, in percent of what it requests, above which a service gets more copies."""
    namespace: DnsLabel = ""
    """Kubernetes namespace; by default the platform's name."""
    kubernetes_version: KubernetesVersion = "1.36"
    """The version whose API the manifests are validated against."""
    registry: str = Field(default="", pattern=r"^[A-Za-z0-9.:/_-]*$")
    """Where images are pulled from, e.g. `registry.example.org/team`; empty: they are loaded into the nodes."""
    image_tag: str = Field(default="1.0.0", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
    """Tag of the services' images."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas is {self.max_replicas}, less than replicas ({self.replicas}): "
                f"raise max_replicas to {self.replicas} or more"
            )
        return self


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
