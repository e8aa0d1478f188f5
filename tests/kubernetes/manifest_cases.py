"""A platform's objects as the target makes them: of one declaration, or of several, each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.contract import Desired
from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Object, Release
from stepflow.targets.kubernetes.manifests.production import production_objects
from stepflow.targets.kubernetes.manifests.secrets import RequiredSecret, required_secrets
from stepflow.targets.kubernetes.manifests.servers import brought, server_objects
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.targets.kubernetes.options.values import Values
from stepflow.targets.resolution import Resolution, resolution
from stepflow.workload import Declaration, HttpProbe, Port, Production, Workload

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
SERVERS = ("nats", "postgres", "valkey", "envoy")

READY = HttpProbe("/health/ready")
LIVE = HttpProbe("/health/live")
GATEWAY = Workload(
    name="gateway",
    command=("envoy", "-c", ConfigFile("boot.json")),
    ready=HttpProbe("/ready", port="admin"),
    live=HttpProbe("/ready", port="admin"),
    ports=(Port("http", 8080, "", published=True), Port("mesh", 8081, ""), Port("admin", 9901, "")),
    configs={
        "boot.json": {
            "listen": [Endpoint("gateway", part="bind"), Endpoint("gateway", part="port")],
            "control": Endpoint("users", path="/xds"),
        }
    },
)
USERS = Workload(
    name="users",
    command=("python", "-m", "service"),
    context="users",
    ready=READY,
    live=LIVE,
    replicas=2,
    env={
        "DATABASE_URL_FILE": ServerFile("postgres", "users"),
        "NATS_URL_FILE": ServerFile("nats"),
        "ADMIN_PASSWORD_FILE": SecretFile("admin_password"),
        "GATEWAY_URL": Endpoint("gateway", part="public", path="/x"),
    },
    migrate=("python", "-m", "migrate"),
)
TELEMETRY = Workload(
    name="telemetry",
    command=("python", "-m", "service"),
    context="telemetry",
    ready=READY,
    live=LIVE,
    ports=(Port(), Port("otlp", 4318, "OTLP_PORT")),
    env={"DATA_DIR": DataDir("store"), "VALKEY_URL_FILE": ServerFile("valkey")},
    data=("store",),
)
ALL = Declaration((GATEWAY, USERS, TELEMETRY))


def release(*declarations: Declaration, **values: Any) -> Release:  # noqa: ANN401 - as a values file has them
    """Return a platform that knows what is declared; `values` as a values file has them."""
    workloads = [each for declaration in declarations for each in declaration.workloads]
    return Release(
        name="shop",
        namespace="shop-0a1b2c",
        id="0a1b2c",
        built={each.context: f"registry.example/shop/{each.context}:1" for each in workloads if each.context},
        official={name: f"docker.io/library/{name}:1" for name in SERVERS},
        numbers={each.name: {port.name: port.number for port in each.ports} for each in workloads},
        values=Values.model_validate(values),
    )


def resolved(declaration: Declaration, **digests: str) -> Resolution:
    """Return what a declaration refers to; `digests` by workload."""
    return resolution(Desired(declaration, digests))


def secrets_for(shared: Release, declaration: Declaration) -> tuple[RequiredSecret, ...]:
    """Return the secrets that a declaration needs."""
    known = resolved(declaration)
    return required_secrets(shared, known.workloads, known.backing)


def objects(shared: Release, *declarations: Declaration) -> list[Object]:
    """Return the objects of declarations, each made by itself; what several make is there once."""
    found: dict[tuple[str, str], Object] = {}
    for item in foundation(shared):
        found[key(item)] = item
    for declaration in declarations:
        for item in _of(shared, declaration):
            assert found.setdefault(key(item), item) == item
    return list(found.values())


def key(item: Object) -> tuple[str, str]:
    """Return an object's kind and name."""
    return item["kind"], item["metadata"]["name"]


def one(found: Iterable[Object], kind: str, name: str) -> Any:  # noqa: ANN401 - as YAML has it
    """Find an object, a Job by the beginning of its name."""
    (item,) = (
        each
        for each in found
        if each["kind"] == kind
        and (each["metadata"]["name"] == name or (kind == "Job" and each["metadata"]["name"].startswith(f"{name}-")))
    )
    return item


def container(found: Iterable[Object], kind: str, name: str) -> Any:  # noqa: ANN401 - as YAML has it
    """Find the one container of a controller's pods."""
    (only,) = one(found, kind, name)["spec"]["template"]["spec"]["containers"]
    return only


def _of(shared: Release, declaration: Declaration) -> Iterator[Object]:
    known = resolved(declaration)
    servers = brought(shared, known.backing)
    for kind in sorted({each.kind for each in servers}):
        yield from server_objects(shared, kind)
    for database in sorted({each.database for each in servers} - {""}):
        yield from database_objects(shared, database)
    for workload in known.workloads:
        yield from migration_objects(shared, workload)
        yield from workload_objects(shared, workload, "d1")
    if known.production:
        yield from production_objects(shared, known.production)


SHOP = objects(release(ALL), ALL)
"""The objects of a small platform that has one of everything."""

_HOW = Production(ALL.workloads, (), ("gateway", "users"), at_least=3, at_most=10, cpu_target=70, automatic=True)
_TOLD = {
    "entry": {"host": "shop.example", "issuer": "letsencrypt", "tls-secret": "shop-tls"},
    "monitoring": "prometheus-operator",
    "egress": [{"workload": "users", "cidr": "203.0.113.0/24", "ports": [587]}],
    "requests-per-second": 50,
}
PRODUCTION = objects(release(ALL, **_TOLD), ALL, Declaration(production=_HOW))
"""The same in production, with all that a values file may ask for."""
