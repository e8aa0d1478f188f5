"""Network policies: only what the workloads' references name may communicate, and DNS.

Three flows are conventions of the platform that no reference names, as the address is learnt at run time: the gateway
(what has a port named `mesh`) calls the `http` port of every service, services call each other through that port, and
everything exports to a port named `otlp`. Pods carry labels of their roles in these, so that a workload's policies are
complete whatever is declared before or after it.

The gateway alone is open to everyone, as what leads people to it may stand anywhere: an Ingress controller, a load
balancer, a node. Other ports that people look at from their own machine are forwarded to them, which needs no policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from stepflow.targets.addresses import CLIENT_PORTS, port_number
from stepflow.targets.resolved import Resolved
from stepflow.workload import ServerKind

from .model import Component, Object, Release
from .names import FLOWS, ROLE, USES, YES, metadata

MESH, HTTP, OTLP = "mesh", "http", "otlp"
GATEWAY, SERVICE, WORKLOAD = f"{ROLE}gateway", f"{ROLE}service", f"{ROLE}workload"
_CALLERS: Mapping[str, str] = {HTTP: GATEWAY, MESH: SERVICE, OTLP: WORKLOAD}
"""Name of a port -> the role of those that call it without a reference."""


def is_entry(release: Release, workload: str, port: str) -> bool:
    """Return whether people come in by this port: the gateway's, which is what has a port for the mesh, too."""
    return port == HTTP and MESH in release.numbers.get(workload, {})


def roles(resolved: Resolved) -> tuple[str, ...]:
    """Name the labels of a workload's pods that policies pick."""
    found = [WORKLOAD, *map(uses, resolved.servers)]
    found += [SERVICE] if resolved.workload.context else []
    found += [GATEWAY] if MESH in resolved.ports else []
    return tuple(found)


def uses(kind: ServerKind) -> str:
    """Name the label of pods that may reach a server."""
    return f"{USES}{kind}"


def workload_policies(release: Release, component: Component, resolved: Resolved) -> list[Object]:
    """Return a workload's own policy, and for each workload that it calls one that lets it in there."""
    name = resolved.name
    entry = [number for port, number in resolved.ports.items() if is_entry(release, name, port)]
    called, conventional = _called(release, resolved), _conventional(resolved)
    own = policy(
        release,
        component,
        name,
        pods={FLOWS: name},
        ingress=[*([{"ports": _tcp(entry)}] if entry else []), *_from_roles(conventional)],
        egress=[*_to_workloads(called), *_to_servers(release, resolved), *_to_outside(release, name), dns()],
    )
    entries = [
        policy(
            release,
            component,
            f"{name}.to.{other}",
            pods={FLOWS: other},
            ingress=[{"from": [_pods({FLOWS: name})], "ports": _tcp(ports)}],
        )
        for other, ports in called.items()
    ]
    exits = [
        policy(
            release,
            component,
            f"role.{_CALLERS[port].removeprefix(ROLE)}.to.{name}",
            pods={_CALLERS[port]: YES},
            egress=[{"to": [_pods({FLOWS: name})], "ports": _tcp([number])}],
        )
        for port, number in conventional.items()
    ]
    return [own, *entries, *exits]


def server_policy(release: Release, component: Component, kind: ServerKind, among: Sequence[int]) -> Object:
    """Return the policy of a backing server: who uses it reaches it; its nodes reach each other at ports `among`."""
    nodes = [_pods({FLOWS: kind})]
    users: Object = {"from": [_pods({uses(kind): YES})], "ports": _tcp([CLIENT_PORTS[kind]])}
    return policy(
        release,
        component,
        kind,
        pods={FLOWS: kind},
        ingress=[users, *([{"from": nodes, "ports": _tcp(among)}] if among else [])],
        egress=[*([{"to": nodes, "ports": _tcp(among)}] if among else []), dns()],
    )


def policy(
    release: Release,
    component: Component,
    name: str,
    *,
    pods: Mapping[str, str],
    ingress: Sequence[Object] = (),
    egress: Sequence[Object] = (),
) -> Object:
    """Return a NetworkPolicy that allows flows, beside what all others allow the same pods."""
    rules = {"ingress": list(ingress), "egress": list(egress)}
    spec: Object = {
        "podSelector": {"matchLabels": dict(pods)},
        "policyTypes": [way.capitalize() for way, found in rules.items() if found],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(release, component, name),
        "spec": spec | {way: found for way, found in rules.items() if found},
    }


def dns() -> Object:
    """Allow to resolve names, wherever that is done: a resolver on the node itself has no pod that could be named."""
    return {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}


def _called(release: Release, resolved: Resolved) -> dict[str, list[int]]:
    """Return the ports of other workloads that a workload's references name."""
    found = {
        (each.workload, port_number(each, release.numbers))
        for each in resolved.endpoints
        if each.part not in {"bind", "public"} and each.workload != resolved.name
    }
    return {name: [number for _, number in each] for name, each in groupby(sorted(found), lambda pair: pair[0])}


def _conventional(resolved: Resolved) -> dict[str, int]:
    called = [MESH, OTLP, *([HTTP] if resolved.workload.context else [])]
    return {name: resolved.ports[name] for name in called if name in resolved.ports}


def _from_roles(ports: Mapping[str, int]) -> list[Object]:
    return [{"from": [_pods({_CALLERS[name]: YES})], "ports": _tcp([number])} for name, number in ports.items()]


def _to_workloads(called: Mapping[str, Sequence[int]]) -> list[Object]:
    return [{"to": [_pods({FLOWS: name})], "ports": _tcp(ports)} for name, ports in called.items()]


def _to_servers(release: Release, resolved: Resolved) -> list[Object]:
    """Allow the servers that it refers to; one of the user's own, whose address a Secret holds, at the usual port."""
    used = sorted({(f.kind, release.external(f.kind, f.database) is not None) for f in resolved.server_files})
    return [
        {**({} if theirs else {"to": [_pods({FLOWS: kind})]}), "ports": _tcp([CLIENT_PORTS[kind]])}
        for kind, theirs in used
    ]


def _to_outside(release: Release, name: str) -> list[Object]:
    allowed = (each for each in release.values.egress if each.workload == name)
    return [{"to": [{"ipBlock": {"cidr": each.cidr}}], "ports": _tcp(each.ports)} for each in allowed]


def _pods(picked: Mapping[str, str]) -> Object:
    return {"podSelector": {"matchLabels": dict(picked)}}


def _tcp(ports: Sequence[int]) -> list[Object]:
    return [{"protocol": "TCP", "port": port} for port in ports]
