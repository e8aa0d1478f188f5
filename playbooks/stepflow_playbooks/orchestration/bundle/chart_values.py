"""What a chart holds beside its templates: its name, its values and their schema."""

from __future__ import annotations

import json
from typing import Any

from stepflow.targets.images import parse
from stepflow.targets.kubernetes.manifests.model import Object

from .manifests import Manifests, every
from .model import Bundle
from .text import document

HELPERS = r"""{{- /* The reference of an image: repository, tag, digest. */ -}}
{{- define "platform.image" -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- /* The name of an object called after its content: name, what that is made from in this chart, and now. */ -}}
{{- define "platform.named" -}}
{{- $name := index . 0 -}}
{{- $now := index . 2 | join "\n" -}}
{{- if eq (index . 1 | join "\n") $now }}{{ $name }}
{{- else }}{{ printf "%s-%s" ($name | trunc 54 | trimSuffix "-") (sha256sum $now | trunc 8) }}{{ end -}}
{{- end -}}
"""
_COMMENT = """\
# images: one is pulled by its digest where it has one. pullPolicy: `IfNotPresent` for those loaded into nodes.
# copies: of each service that scales, at least and at most.
# cpuPercent: the average use of CPU, in percent of the request, above which copies are added.
# storage.class: "" for the cluster's own. entry.host: where people reach the gateway, by an Ingress with TLS.
# monitoring: `prometheus-operator` where the cluster has it. quota: what the whole platform may take.
# createNamespace: only for `helm template … | kubectl apply`: with `helm install` the namespace is there before.
"""


def chart_yaml(bundle: Bundle) -> str:
    """Describe the chart."""
    return document(
        {
            "apiVersion": "v2",
            "name": "platform",
            "description": f"{bundle.name}, as its workflow declares it",
            "type": "application",
            "version": "1.0.0",
            "appVersion": bundle.image_tag,
            "kubeVersion": ">=1.33.0-0",
        }
    )


def values_yaml(bundle: Bundle, found: Manifests) -> str:
    """Give the values with which the chart renders what it was made from."""
    return _COMMENT + document(_values(bundle, every(found)))


def _values(bundle: Bundle, found: list[Object]) -> dict[str, Any]:
    (quota,) = (item for item in found if item["kind"] == "ResourceQuota")
    return {
        "images": {name: _image(reference) for name, reference in bundle.images().items()},
        "pullPolicy": bundle.platform.pull,
        "copies": _copies(found),
        "cpuPercent": bundle.scale.cpu_target,
        "storage": {"class": "", "sizes": _sizes(found)},
        "entry": {"host": "", "tlsSecret": "", "ingressClass": "", "annotations": {}},
        "monitoring": "",
        "quota": quota["spec"]["hard"],
        "createNamespace": False,
    }


def _image(reference: str) -> dict[str, str]:
    image = parse(reference, "images")
    return {"repository": image.repository, "tag": image.tag, "digest": image.digest}


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
    """Give the JSON Schema of the values, with which Helm refuses what would be no object."""
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
