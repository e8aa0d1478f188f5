"""What is said of a cluster (`--values FILE`): its storage, servers of the user's own, how people reach the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")]
SecretKey = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FromSecret(_Strict):
    """A server of the user's own: the Secret in the platform's namespace whose key holds its URL."""

    secret: DnsName
    key: SecretKey = "url"


class Nats(_Strict):
    """NATS: how many nodes, or where the user's own is."""

    nodes: Literal[1, 3, 5] = 3
    size: Quantity = "10Gi"
    external: FromSecret | None = None


class Postgres(_Strict):
    """PostgreSQL: one of the platform's, or by database (`""` for the administrator's) where the user's own is."""

    size: Quantity = "20Gi"
    external: Mapping[str, FromSecret] = Field(default_factory=dict)


class Valkey(_Strict):
    """Valkey: one of the platform's, or the user's own."""

    size: Quantity = "2Gi"
    external: FromSecret | None = None


class Storage(_Strict):
    """Where data lies: the class of volumes, or (`ephemeral`) nowhere that outlives a pod."""

    storage_class: DnsName = Field(default="", alias="class")
    size: Quantity = "8Gi"
    ephemeral: bool = False


class ParentGateway(_Strict):
    """A Gateway (Gateway API) that takes the platform's route."""

    name: DnsLabel
    namespace: DnsLabel
    section: DnsLabel | Literal[""] = ""


class Entry(_Strict):
    """How people reach the gateway: a host name, by an Ingress or by a route of a Gateway."""

    host: DnsName
    tls_secret: DnsName | Literal[""] = Field(default="", alias="tls-secret")
    ingress_class: DnsName | Literal[""] = Field(default="", alias="ingress-class")
    issuer: DnsName | Literal[""] = ""  # a ClusterIssuer of cert-manager
    gateway: ParentGateway | None = None


class Egress(_Strict):
    """An address outside of the cluster that a workload may call."""

    workload: DnsLabel
    cidr: Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...]


class Values(_Strict):
    """All of it; everything has a default."""

    storage: Storage = Storage()
    nats: Nats = Nats()
    postgres: Postgres = Postgres()
    valkey: Valkey = Valkey()
    entry: Entry | None = None
    egress: tuple[Egress, ...] = ()
    monitoring: Literal["", "prometheus-operator"] = ""
    requests_per_second: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="requests-per-second")
    """Requests/s of a copy above which copies are added, where the cluster serves that metric of pods."""
