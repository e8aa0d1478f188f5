"""The files of a chart besides its templates: its description, its values and their schema."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from stepflow.targets.kubernetes.bundle import HELPERS as SLOT_HELPERS
from stepflow.targets.kubernetes.bundle import Bundle, Manifests, Object, every

from .yaml_writer import document

_IMAGE_HELPER = r"""{{- /* The reference of an image: repository, tag, digest. */ -}}
{{- define "platform.image" -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
"""
HELPERS = _IMAGE_HELPER + SLOT_HELPERS
"""The templates that the chart's expressions include."""
_COMMENT = """\
# images: pulled by digest if there is one. pullPolicy: `IfNotPresent` for images that were loaded into the nodes.
# copies: minimum and maximum replicas of each service.
# cpuPercent: average CPU use, in percent of the request, above which replicas are added.
# storage.class: "" for the cluster's default. entry.host: the host name of the gateway, by an Ingress with TLS.
# monitoring: `prometheus-operator` if the cluster runs it. quota: what the whole platform may use.
# createNamespace: only for `helm template … | kubectl apply`; `helm install` needs an existing namespace.
"""


def chart_yaml(platform: Bundle) -> str:
    """Return the description of the chart."""
    return document(
        {
            "apiVersion": "v2",
            "name": "platform",
            "description": f"{platform.name}, as its workflow declares it",
            "type": "application",
            "version": "1.0.0",
            "appVersion": platform.image_tag,
            "kubeVersion": ">=1.33.0-0",
        }
    )


def values_yaml(platform: Bundle, found: Manifests) -> str:
    """Return the values with which the chart renders the objects that it was made from."""
    return _COMMENT + document(_values(platform, every(found)))


def _values(platform: Bundle, found: list[Object]) -> dict[str, Any]:
    (quota,) = (item for item in found if item["kind"] == "ResourceQuota")
    return {
        "images": {name: asdict(image) for name, image in platform.images().items()},
        "pullPolicy": platform.pull,
        "copies": _copies(found),
        "cpuPercent": platform.scale.cpu_target,
        "storage": {"class": "", "sizes": _sizes(found)},
        "entry": {"host": "", "tlsSecret": "", "ingressClass": "", "annotations": {}},
        "monitoring": "",
        "quota": quota["spec"]["hard"],
        "createNamespace": False,
    }


def _copies(found: list[Object]) -> dict[str, dict[str, int]]:
    copies = {}
    for item in found:
        spec = item.get("spec", {})
        if item["kind"] == "HorizontalPodAutoscaler":
            copies[spec["scaleTargetRef"]["name"]] = {"least": spec["minReplicas"], "most": spec["maxReplicas"]}
        elif item["kind"] == "Deployment" and "replicas" in spec:
            copies[item["metadata"]["name"]] = {"least": spec["replicas"], "most": spec["replicas"]}
    return copies


def _sizes(found: list[Object]) -> dict[str, str]:
    return {
        item["metadata"]["name"]: claim["spec"]["resources"]["requests"]["storage"]
        for item in found
        if item["kind"] == "StatefulSet"
        for claim in item["spec"].get("volumeClaimTemplates", [])
    }


def schema_json() -> str:
    """Return the JSON Schema of the values, by which Helm rejects what Kubernetes would not accept."""
    text, name = {"type": "string"}, {"type": "string", "pattern": r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"}
    amount = {"type": "string", "pattern": "^[1-9][0-9]*(m|Mi|Gi|Ti)?$"}
    count = {"type": "integer", "minimum": 1}
    image = _object(repository=text, tag=text, digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"})
    entry = _object(
        host=name, tlsSecret=name, ingressClass=name, annotations={"type": "object", "additionalProperties": text}
    )
    schema = _object(
        images={"type": "object", "additionalProperties": image},
        pullPolicy={"enum": ["Always", "IfNotPresent"]},
        copies={"type": "object", "additionalProperties": _object(least=count, most=count)},
        cpuPercent=count,
        storage=_object(**{"class": name}, sizes={"type": "object", "additionalProperties": amount}),
        entry=entry,
        monitoring={"enum": ["", "prometheus-operator"]},
        quota={"type": "object", "additionalProperties": text},
        createNamespace={"type": "boolean"},
    )
    schema["properties"]["global"] = {"type": "object"}  # Helm's own
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, indent=2) + "\n"


def _object(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON Schema
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }
