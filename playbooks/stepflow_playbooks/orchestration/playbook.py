"""The playbook orchestration: everything that earlier steps declare, made ready for production."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stepflow.handoff import Handoff
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput, Takes
from stepflow.targets.kubernetes.bundle import TARGET, Bundle, Scale, dns_label, every, manifests, merged
from stepflow.workload import Declaration

from .bundle.files import CHART, MANIFESTS, README, SECRETS_LIST, SECRETS_SCRIPT, bundle_files
from .checks import bundle_checks, containers_check, replicas_check

KubernetesVersion = Literal["1.33", "1.34", "1.35", "1.36", "1.37"]
OptionalDnsLabel = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")]


class OrchestrationSettings(Settings):
    """How far services scale, and where the bundle's images and objects belong."""

    replicas: int = Field(default=3, ge=1, le=1000)
    """Minimum replicas of each scalable service. Three survive a node that drains while another fails."""
    max_replicas: int = Field(default=10, ge=1, le=5000)
    """Maximum replicas of each scalable service."""
    cpu_target: int = Field(default=70, ge=10, le=95)
    """Average CPU use of a replica, in percent of its request, above which a service gets more replicas."""
    namespace: OptionalDnsLabel = ""
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


class OrchestrationHandoff(Handoff):
    """The Kubernetes bundle: its files, what it contains, and whether it was applied to a cluster."""

    bundle: tuple[str, ...]
    """Files and folders below the rendered tree."""
    objects: int
    kubernetes_version: str
    namespace: str
    applied: bool
    not_applied: str = ""
    """What was not applied and why, in words; empty if everything was."""


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
            "HorizontalPodAutoscalers by the use of CPU",
        ),
        Feature(
            "health-checks",
            ("health checks", "health check", "probes", "self-healing"),
            "startup, readiness and liveness probes, and checks of the running replicas",
            always=True,
        ),
    )

    def __init__(self) -> None:
        """Remember nothing yet: what a step is asked needs its bundle, and its checks what it rendered."""
        self._asked: tuple[StepInput[OrchestrationSettings], Bundle] | None = None
        self._rendered: tuple[StepInput[OrchestrationSettings], Mapping[str, bytes]] | None = None

    def declare(self, step: StepInput[OrchestrationSettings]) -> Declaration:
        """Declare how the platform is run in production, on the target that can do that; nothing on others."""
        return Declaration(production=self._bundle(step).production) if step.target == TARGET else Declaration()

    def render(self, step: StepInput[OrchestrationSettings]) -> Mapping[str, bytes]:
        """Return the Kubernetes bundle of everything that earlier steps declare."""
        if self._rendered is None or self._rendered[0] is not step:
            self._rendered = (step, bundle_files(self._bundle(step)))
        return self._rendered[1]

    def handoff(self, step: StepInput[OrchestrationSettings]) -> OrchestrationHandoff:
        """Return where the bundle is, what it contains, and whether it was applied."""
        bundle = self._bundle(step)
        count = len(every(manifests(bundle)))
        applied = step.target == TARGET
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
            f"the platform runs on the target `{step.target}`, which is not a cluster",
        )

    def checks(self, step: StepInput[OrchestrationSettings]) -> Collection[Check]:
        """Return the checks of the bundle, of the replicas, and of the container images."""
        bundle = self._bundle(step)
        return (
            *bundle_checks(partial(self.render, step), step.settings.kubernetes_version, step.target),
            replicas_check(bundle, step.target),
            containers_check(bundle, containers=step.containers),
        )

    def _bundle(self, step: StepInput[OrchestrationSettings]) -> Bundle:
        if self._asked is None or self._asked[0] is not step:
            self._asked = (step, bundle_of(step))
        return self._asked[1]


def bundle_of(step: StepInput[OrchestrationSettings]) -> Bundle:
    """Return the bundle of what the earlier steps declare, with the settings of this one."""
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
