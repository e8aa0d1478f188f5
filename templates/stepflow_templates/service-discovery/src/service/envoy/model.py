"""What all of Envoy's documents are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

CONTROL_PLANE = "control-plane"
"""The one cluster of Envoy's static bootstrap: the source of these documents."""
OWN = "service-discovery"
"""The service that shows the platform's front page."""
OTLP = "otlp"
"""The cluster that takes traces."""
PUBLIC, MESH = "http", "mesh"
"""The two listeners, and their route tables."""

CLUSTER = "envoy.config.cluster.v3.Cluster"
ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "envoy.config.listener.v3.Listener"
ROUTES = "envoy.config.route.v3.RouteConfiguration"


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where Envoy listens, and its limits."""

    bind: str = "127.0.0.1"
    port: int = 8080
    mesh_bind: str = "127.0.0.1"
    mesh_port: int = 8081
    request_timeout: float = 15.0  # seconds
    max_request_bytes: int = 1_048_576
    load_balancing: str = "least-request"  # or "round-robin"
    poll_timeout: float = 30.0  # seconds that Envoy waits for changes


def typed(kind: str, **fields: object) -> Json:
    """A message with its type, as `Any` is written in JSON."""
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def seconds(number: float) -> str:
    """A duration as protobuf writes it in JSON."""
    return f"{number:g}s"


def address(host: str, port: int) -> Json:
    """A TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}


def control_plane(gateway: Gateway) -> Json:
    """Where Envoy asks for a document: it polls, and the answer is held open until something changes."""
    source = {
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": [CONTROL_PLANE],
        "refresh_delay": "0.1s",
        "request_timeout": seconds(gateway.poll_timeout),
    }
    return {"resource_api_version": "V3", "api_config_source": source}
