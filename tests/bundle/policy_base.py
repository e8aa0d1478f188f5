"""Objects that break no rule: one of each kind that the rules look at."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

Object = dict[str, Any]
DIGEST = "sha256:" + "a" * 64


def _meta(name: str, app: str, **more: str) -> Object:
    labels = {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": name, **more}
    return {"name": name, "namespace": "shop", "labels": labels}


def _selector(app: str) -> Object:
    return {"matchLabels": {"app.kubernetes.io/name": app}}


def _container(name: str) -> Object:
    amounts = {"cpu": "20m", "memory": "64Mi", "ephemeral-storage": "16Mi"}
    return {
        "name": name,
        "image": f"registry.example.org/shop/{name}@{DIGEST}",
        "imagePullPolicy": "Always",
        "env": [{"name": "PORT", "value": "8000"}],
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _probed(container: Object) -> Object:
    return container | {
        "startupProbe": {"httpGet": {"path": "/live", "port": "http"}, "failureThreshold": 30},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
    }


def _template(app: str, container: Object, restart: str) -> Object:
    linux = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": _selector(app)}
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": app}},
        "spec": {
            "serviceAccountName": app,
            "automountServiceAccountToken": False,
            "restartPolicy": restart,
            "priorityClassName": "shop-service",
            "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [linux]},
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}],
                },
            },
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "labelSelector": _selector(app)}
            ],
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
        },
    }


def _object(api: str, kind: str, metadata: Object, **rest: Any) -> Object:  # noqa: ANN401 - any field
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def _shared(app: str) -> list[Object]:
    policy = {
        "podSelector": _selector(app),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": _selector("web")}]}],
        "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}],
    }
    return [
        _object("v1", "ServiceAccount", _meta(app, app), automountServiceAccountToken=False),
        _object("networking.k8s.io/v1", "NetworkPolicy", _meta(app, app), spec=policy),
    ]


def _served(app: str, **spec: str) -> list[Object]:
    budget = {"maxUnavailable": 1, "selector": _selector(app), "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    port = {"name": "http", "port": 8000, "targetPort": "http"}
    service = {"selector": _selector(app)["matchLabels"], "ports": [port], **spec}
    return [
        *_shared(app),
        _object("v1", "Service", _meta(app, app), spec=service),
        _object("policy/v1", "PodDisruptionBudget", _meta(app, app), spec=budget),
    ]


def _controllers() -> list[Object]:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    web = {"selector": _selector("web"), "strategy": rolling}
    web |= {"template": _template("web", _probed(_container("web")), "Always")}
    store = {"selector": _selector("store"), "serviceName": "store", "replicas": 1}
    store |= {"template": _template("store", _probed(_container("store")), "Always")}
    move = {"ttlSecondsAfterFinished": 600, "template": _template("move", _container("move"), "OnFailure")}
    return [
        _object("apps/v1", "Deployment", _meta("web", "web"), spec=web),
        _object("apps/v1", "StatefulSet", _meta("store", "store"), spec=store),
        _object("batch/v1", "Job", _meta("move", "move"), spec=move),
    ]


def _entries() -> list[Object]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    ingress = {"rules": [{"http": {"paths": [path]}}], "tls": [{"hosts": ["shop.example.org"], "secretName": "tls"}]}
    scaler = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 10}
    return [
        _object("autoscaling/v2", "HorizontalPodAutoscaler", _meta("web", "web"), spec=scaler),
        _object("networking.k8s.io/v1", "Ingress", _meta("web", "web"), spec=ingress),
        _object("monitoring.coreos.com/v1", "ServiceMonitor", _meta("web", "web"), spec={"selector": _selector("web")}),
    ]


def good() -> list[Object]:
    """Return a fresh list of objects that break no rule."""
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    objects = [
        _object("v1", "Namespace", {"name": "shop", "labels": modes}),
        _object("scheduling.k8s.io/v1", "PriorityClass", {"name": "shop-service"}, value=1000),
        _object("v1", "ConfigMap", _meta("web-config", "web"), data={"boot.json": "{}"}),
        *_served("web"),
        *_served("store", clusterIP="None"),
        *_shared("move"),
        *_controllers(),
        *_entries(),
    ]
    return deepcopy(objects)
