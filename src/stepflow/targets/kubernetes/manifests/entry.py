"""How people reach the gateway: by an Ingress, or a route of a Gateway; TLS ends in front of the platform."""

from __future__ import annotations

from stepflow.targets.kubernetes.options.values import Entry, ParentGateway

from .model import Component, Object, Release
from .names import metadata
from .network import HTTP, is_entry, policy

_ISSUER = "cert-manager.io/cluster-issuer"
_SOLVER = {"acme.cert-manager.io/http01-solver": "true"}
_SOLVER_PORT = 8089


def entry_objects(release: Release, component: Component) -> list[Object]:
    """Return what leads the host name of the values to this component; nothing where they name none."""
    entry = release.values.entry
    if entry is None or not is_entry(release, component.name, HTTP):
        return []
    if entry.gateway:
        return [_route(release, component, entry, entry.gateway)]
    return [_ingress(release, component, entry), *([_solver(release, component)] if entry.issuer else [])]


def _ingress(release: Release, component: Component, entry: Entry) -> Object:
    meta = metadata(release, component)
    if entry.issuer:
        meta["annotations"] = {_ISSUER: entry.issuer}
    backend = {"service": {"name": component.name, "port": {"name": HTTP}}}
    rule = {"host": entry.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec: Object = {"ingressClassName": entry.ingress_class} if entry.ingress_class else {}
    named = {"secretName": entry.tls_secret} if entry.tls_secret else {}  # the controller has a certificate of its own
    spec |= {"tls": [{"hosts": [entry.host], **named}], "rules": [rule]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def _route(release: Release, component: Component, entry: Entry, parent: ParentGateway) -> Object:
    reference: Object = {"name": parent.name, "namespace": parent.namespace}
    reference |= {"sectionName": parent.section} if parent.section else {}
    backend = {"name": component.name, "port": release.numbers[component.name][HTTP]}
    match = {"path": {"type": "PathPrefix", "value": "/"}}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(release, component),
        "spec": {
            "parentRefs": [reference],
            "hostnames": [entry.host],
            "rules": [{"matches": [match], "backendRefs": [backend]}],
        },
    }


def _solver(release: Release, component: Component) -> Object:
    """Let the pods be reached by which cert-manager proves that the host name is the user's."""
    ports = [{"protocol": "TCP", "port": _SOLVER_PORT}]
    return policy(release, component, f"{component.name}.certificate", pods=_SOLVER, ingress=[{"ports": ports}])
