"""What watches the platform where the cluster has the Prometheus operator: who is scraped, and what is reported."""

from __future__ import annotations

from stepflow.targets.resolution import ResolvedProduction
from stepflow.targets.resolved import Resolved

from .container import ENVOY
from .model import Component, Object, Release
from .names import FLOWS, metadata
from .network import HTTP, policy
from .slot import text

_GROUP = "monitoring.coreos.com/v1"
_PROMETHEUS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
_ADMIN = "admin"


def monitoring_objects(release: Release, component: Component, production: ResolvedProduction) -> list[Object]:
    """Return nothing unless the values say that the operator is there.

    A service shows its metrics at `/metrics` of its port `http`, Envoy at `/stats/prometheus` of its port `admin`.
    """
    if release.values.monitoring != "prometheus-operator":
        return []
    gateways = [each for each in production.workloads if each.program == ENVOY]
    services = [each for each in production.workloads if each not in gateways]
    found = [_rules(release, component)]
    for name, port, path, watched in (
        ("services", HTTP, "/metrics", services),
        ("gateways", _ADMIN, "/stats/prometheus", gateways),
    ):
        shown = [each for each in watched if port in each.ports]
        if shown:
            endpoint = {"port": port, "path": path, "interval": "15s", "scrapeTimeout": "10s"}
            found.append(_monitor(release, component, name, endpoint, shown))
            found += [_opened(release, component, each.name, each.ports[port]) for each in shown]
    return found


def _monitor(release: Release, component: Component, name: str, endpoint: Object, watched: list[Resolved]) -> Object:
    names = sorted(each.name for each in watched)
    picked = {"key": "app.kubernetes.io/name", "operator": "In", "values": names}
    return {
        "apiVersion": _GROUP,
        "kind": "ServiceMonitor",
        "metadata": metadata(release, component, name),
        "spec": {
            "selector": {"matchExpressions": [picked]},
            "jobLabel": "app.kubernetes.io/name",
            "endpoints": [endpoint],
        },
    }


def _opened(release: Release, component: Component, name: str, number: int) -> Object:
    ports = [{"protocol": "TCP", "port": number}]
    ingress = [{"from": [_PROMETHEUS], "ports": ports}]
    return policy(release, component, f"role.prometheus.to.{name}", pods={FLOWS: name}, ingress=ingress)


def _rules(release: Release, component: Component) -> Object:
    here = text('namespace="', release.namespace, '"')
    requests = text("rate(http_server_request_duration_seconds_count{", here)
    failed = text("sum by (job) (", requests, ',http_response_status_code=~"5.."}[5m]))')
    current, least, most = (
        text(f"kube_horizontalpodautoscaler_{name}_replicas{{", here, "}")
        for name in ("status_current", "spec_min", "spec_max")
    )
    rules = [
        _alert("ScrapeFails", text("up{", here, "} == 0"), "5m", "{{ $labels.pod }} shows no metrics"),
        _alert(
            "RequestsFail",
            text(failed, " / sum by (job) (", requests, "}[5m])) > 0.05"),
            "5m",
            "{{ $labels.job }} fails more than 5 % of its requests",
        ),
        _alert(
            "ScaledOut",
            text(current, " > ", least, " and ", current, " == ", most),
            "15m",
            "{{ $labels.horizontalpodautoscaler }} has no more copies to add",
        ),
    ]
    return {
        "apiVersion": _GROUP,
        "kind": "PrometheusRule",
        "metadata": metadata(release, component, "platform"),
        "spec": {"groups": [{"name": release.namespace, "rules": rules}]},
    }


def _alert(name: str, expression: str, lasting: str, summary: str) -> Object:
    return {
        "alert": f"Stepflow{name}",
        "expr": expression,
        "for": lasting,
        "labels": {"severity": "warning"},
        "annotations": {"summary": summary},
    }
