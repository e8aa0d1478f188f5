"""Who may talk to whom: deny all, then exactly the flows that the workloads' references name, and DNS.

Three flows are conventions of the platform that no reference names, as the address is learnt at run time: the
gateway (what has a port named `mesh`) routes to the `http` port of every service, services call each other through
that port, and everything exports to a port named `otlp`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stepflow.handoff import Endpoint, ServerFile
from stepflow.workload import Workload

from .model import Object, Platform
from .names import metadata, selector
from .references import references
from .servers import CLIENT_PORT, PART, PORTS
from .workloads import SERVICE

KIND = "NetworkPolicy"
MESH = "mesh"


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """One component opens connections to a port of another."""

    source: str
    destination: str
    port: int


def flows(platform: Platform) -> tuple[Flow, ...]:
    """Give every allowed flow, in order, each once."""
    found = {
        flow
        for workload in platform.workloads
        for flow in (*_referenced(platform, workload), *_conventional(platform, workload))
        if flow.source != flow.destination
    }
    if "nats" in platform.server_kinds():
        found.add(Flow("nats", "nats", PORTS["nats"]["cluster"]))
    return tuple(sorted(found))


def network_policies(platform: Platform) -> list[Object]:
    """Give the default denial and one policy a component."""
    deny: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": KIND,
        "metadata": metadata(platform, "default-deny", part="platform"),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    allowed = flows(platform)
    open_ports = {w.name: [p.number for p in w.ports if p.published] for w in platform.workloads}
    parts = dict.fromkeys(open_ports, SERVICE) | dict.fromkeys(platform.server_kinds(), PART)
    return [deny] + [
        _policy(platform, component, part, allowed, open_ports.get(component, []))
        for component, part in sorted(parts.items())
    ]


def _referenced(platform: Platform, workload: Workload) -> Iterable[Flow]:
    for value in references(workload):
        if isinstance(value, Endpoint) and value.part != "bind":
            yield Flow(workload.name, value.workload, platform.port_number(value.workload, value.port))
        elif isinstance(value, ServerFile):
            yield Flow(workload.name, value.kind, CLIENT_PORT[value.kind])


def _conventional(platform: Platform, workload: Workload) -> Iterable[Flow]:
    is_gateway = any(port.name == MESH for port in workload.ports)
    for other in platform.workloads:
        for port in other.ports:
            routed = is_gateway and port.name == "http" and bool(other.context)
            meshed = bool(workload.context) and port.name == MESH
            if routed or meshed or port.name == "otlp":
                yield Flow(workload.name, other.name, port.number)


def _policy(platform: Platform, component: str, part: str, allowed: tuple[Flow, ...], open_ports: list[int]) -> Object:
    ingress: list[Object] = [
        {"from": [_pods(flow.source)], "ports": [_tcp(flow.port)]} for flow in allowed if flow.destination == component
    ]
    ingress += [{"ports": [_tcp(port)]} for port in open_ports]
    egress: list[Object] = [
        {"to": [_pods(flow.destination)], "ports": [_tcp(flow.port)]} for flow in allowed if flow.source == component
    ]
    spec: Object = {
        "podSelector": {"matchLabels": selector(component)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [_dns(), *egress],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": KIND,
        "metadata": metadata(platform, component, part=part),
        "spec": spec,
    }


def _pods(component: str) -> Object:
    return {"podSelector": {"matchLabels": selector(component)}}


def _tcp(port: int) -> Object:
    return {"protocol": "TCP", "port": port}


def _dns() -> Object:
    cluster_dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {"to": [cluster_dns], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
