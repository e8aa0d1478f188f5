"""The typed inputs of an orchestration step."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stepflow.playbook import Settings

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
