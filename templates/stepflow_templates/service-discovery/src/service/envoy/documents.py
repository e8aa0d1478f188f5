"""All documents at once, each kind with the version that Envoy compares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from service.envoy.clusters import cluster, endpoints, otlp_cluster
from service.envoy.listeners import listeners
from service.envoy.model import Gateway, Json
from service.envoy.routes import mesh_routes, public_routes
from service.policy import Policy
from service.services import Service

KINDS = ("clusters", "endpoints", "listeners", "routes")


@dataclass(frozen=True, slots=True)
class Documents:
    """Envoy's resources: by kind, then by name."""

    clusters: Mapping[str, Json]
    endpoints: Mapping[str, Json]
    listeners: Mapping[str, Json]
    routes: Mapping[str, Json]

    def select(self, kind: str, names: Collection[str]) -> tuple[str, list[Json]]:
        """The version and the resources of one kind, those named or (no names) all; a name not known is left out."""
        resources: Mapping[str, Json] = getattr(self, kind)
        chosen = [resource for name, resource in resources.items() if not names or name in names]
        return _version(chosen), chosen


def documents(services: Mapping[str, Service], policy: Policy, gateway: Gateway) -> Documents:
    """Build the documents that tell Envoy what to do."""
    clusters = {name: cluster(service, gateway) for name, service in services.items()}
    if policy.telemetry:
        told = otlp_cluster(policy.telemetry)
        clusters[told["name"]] = told
    return Documents(
        clusters=clusters,
        endpoints={name: endpoints(service) for name, service in services.items()},
        listeners={each["name"]: each for each in listeners(services, policy, gateway)},
        routes={each["name"]: each for each in (public_routes(services, gateway), mesh_routes(services, gateway))},
    )


def _version(resources: list[Json]) -> str:
    return hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
