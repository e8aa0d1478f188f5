"""The values of a cluster (`--values FILE`): storage, the user's own servers, how people reach the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
SIZE = r"^[1-9][0-9]*(Mi|Gi|Ti)$"
KEY = r"^[-._a-zA-Z0-9]{1,253}$"
NETWORK = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"


def _network(text: str) -> str:
    return str(ip_network(text))


DnsLabel = Annotated[str, Field(pattern=LABEL)]
DnsName = Annotated[str, Field(pattern=NAME)]
Quantity = Annotated[str, Field(pattern=SIZE)]
SecretKey = Annotated[str, Field(pattern=KEY)]
Network = Annotated[str, Field(pattern=NETWORK), AfterValidator(_network)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FromSecret(_Strict):
    """The user's own server: the Secret in the platform's namespace whose key holds its URL."""

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
    """Where data is stored: the class of volumes, or (`ephemeral`) in the pod, with which it is lost."""

    storage_class: DnsName | Literal[""] = Field(default="", alias="class")
    size: Quantity = "8Gi"
    ephemeral: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.ephemeral and self.storage_class:
            raise ValueError("`class` and `ephemeral: true` exclude each other: what is ephemeral has no volume")
        return self


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

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        of_ingress = {"tls-secret": self.tls_secret, "ingress-class": self.ingress_class, "issuer": self.issuer}
        given = next((name for name, value in of_ingress.items() if value), "")
        if self.gateway and given:
            raise ValueError(f"`gateway` and `{given}` exclude each other: the Gateway has a certificate of its own")
        if self.issuer and not self.tls_secret:
            raise ValueError("`issuer` needs `tls-secret`: the Secret that cert-manager writes the certificate into")
        return self


class Egress(_Strict):
    """An address outside of the cluster that a workload may call."""

    workload: DnsLabel
    cidr: Network
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1)]


class Values(_Strict):
    """All values; each has a default."""

    storage: Storage = Storage()
    nats: Nats = Nats()
    postgres: Postgres = Postgres()
    valkey: Valkey = Valkey()
    entry: Entry | None = None
    egress: tuple[Egress, ...] = ()
    monitoring: Literal["", "prometheus-operator"] = ""
    requests_per_second: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="requests-per-second")
    """Requests/s of a copy above which copies are added, where the cluster serves that metric of pods."""
