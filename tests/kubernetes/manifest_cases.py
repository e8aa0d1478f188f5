"""A platform's objects as the target makes them: of one declaration, or of several, each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Object, Platform
from stepflow.targets.kubernetes.manifests.production import production_objects
from stepflow.targets.kubernetes.manifests.servers import server_objects
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.targets.kubernetes.values import Values
from stepflow.targets.references import server_files
from stepflow.workload import Declaration

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
SERVERS = ("nats", "postgres", "valkey", "envoy")


def platform(*declarations: Declaration, **values: Any) -> Platform:  # noqa: ANN401 - as a values file has them
    """Give a platform that knows what is declared; `values` as a values file has them."""
    workloads = [each for declaration in declarations for each in declaration.workloads]
    return Platform(
        name="shop",
        namespace="shop-0a1b2c",
        id="0a1b2c",
        built={each.context: f"registry.example/shop/{each.context}:1" for each in workloads if each.context},
        official={name: f"docker.io/library/{name}:1" for name in SERVERS},
        numbers={each.name: {port.name: port.number for port in each.ports} for each in workloads},
        values=Values.model_validate(values),
    )


def objects(shared: Platform, *declarations: Declaration) -> list[Object]:
    """Give the objects of declarations, each made by itself; what several make is there once."""
    found: dict[tuple[str, str], Object] = {}
    for item in foundation(shared):
        found[key(item)] = item
    for declaration in declarations:
        for item in _of(shared, declaration):
            assert found.setdefault(key(item), item) == item
    return list(found.values())


def key(item: Object) -> tuple[str, str]:
    """Give an object's kind and name."""
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


def _of(shared: Platform, declaration: Declaration) -> Iterator[Object]:
    wanted = {(each.kind, each.database) for each in declaration.servers}
    wanted |= {(file.kind, file.database) for each in declaration.workloads for file in server_files(each)}
    for kind in sorted({kind for kind, _ in wanted}):
        yield from server_objects(shared, kind)
    for database in sorted({database for _, database in wanted} - {""}):
        yield from database_objects(shared, database)
    for workload in declaration.workloads:
        yield from migration_objects(shared, workload)
        yield from workload_objects(shared, workload, "d1")
    if declaration.production:
        yield from production_objects(shared, declaration.production)
