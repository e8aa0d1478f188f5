"""Record which fields a real API's objects have.

`STEPFLOW_TEST_KUBECONFIG=… python tests/kubernetes/record_schema.py`.
Each type has its fields with how they merge: `""` as a whole, `T` a struct, `{}` or `{T}` a map, `[]` a set, `[k,l]T` a
list of `T` whose items are identified by the fields `k` and `l`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from exchanges import Ask, Object
from record import RECORDED, Speaker

GROUPS = {
    "v1": "Namespace Pod Service ConfigMap Secret ServiceAccount Event PersistentVolumeClaim PersistentVolume "
    "ResourceQuota LimitRange Node Endpoints",
    "apps/v1": "Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision",
    "batch/v1": "Job CronJob",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "policy/v1": "PodDisruptionBudget",
    "networking.k8s.io/v1": "NetworkPolicy Ingress IngressClass",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "StorageClass",
    "discovery.k8s.io/v1": "EndpointSlice",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding ClusterRole ClusterRoleBinding",
}


def _base(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _reference(schema: Object) -> str:
    found = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf", []) if "$ref" in each), "")
    return str(found).rpartition("/")[2]


def _struct(name: str, schemas: Object) -> str:
    return name if name in schemas and "properties" in schemas[name] else ""


def _code(schema: Object, schemas: Object) -> str:
    kind, reference = schema.get("type"), _struct(_reference(schema), schemas)
    if reference:
        atomic = "atomic" in (schema.get("x-kubernetes-map-type"), schemas[reference].get("x-kubernetes-map-type"))
        return "" if atomic else reference
    if kind == "array":
        item = _struct(_reference(schema["items"]), schemas)
        keys = ",".join(schema.get("x-kubernetes-list-map-keys", ()))
        return {"map": f"[{keys}]{item}", "set": "[]"}.get(schema.get("x-kubernetes-list-type", ""), "")
    if kind == "object" and "additionalProperties" in schema and schema.get("x-kubernetes-map-type") != "atomic":
        return "{" + _struct(_reference(schema["additionalProperties"]), schemas) + "}"
    return ""


def _types(root: str, schemas: Object, known: dict[str, dict[str, str]]) -> None:
    if root in known:
        return
    known[root] = {name: _code(schema, schemas) for name, schema in schemas[root].get("properties", {}).items()}
    for code in tuple(known[root].values()):
        inner = code.rpartition("]")[2].strip("{}")
        if inner:
            _types(inner, schemas, known)


def _main() -> None:
    speaker = Speaker(os.environ["STEPFLOW_TEST_KUBECONFIG"])
    types: dict[str, dict[str, str]] = {}
    kinds: list[Object] = []
    for version, wanted in GROUPS.items():
        schemas: Any = speaker.ask(Ask("GET", f"/openapi/v3{_base(version)}"))["body"]["components"]["schemas"]
        listed = speaker.ask(Ask("GET", _base(version)))["body"]["resources"]
        for each in listed:
            if each["kind"] not in wanted.split() or "/" in each["name"]:
                continue
            [root] = [
                name for name, schema in schemas.items()
                if {"group": version.rpartition("/")[0], "version": version.rpartition("/")[2], "kind": each["kind"]}
                in schema.get("x-kubernetes-group-version-kind", [])
            ]  # fmt: skip
            _types(root, schemas, types)
            subresources = [other["name"] for other in listed if other["name"].startswith(each["name"] + "/")]
            kinds.append({
                "apiVersion": version, "kind": each["kind"], "plural": each["name"], "namespaced": each["namespaced"],
                "short": each.get("shortNames", []), "type": root, "subresources": subresources,
            })  # fmt: skip
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(types.items()))
    heads = ",\n".join(f"  {json.dumps(kind)}" for kind in kinds)
    (RECORDED / "schema.json").write_text(f'{{"kinds": [\n{heads}\n], "types": {{\n{rows}\n}}}}\n')


if __name__ == "__main__":
    _main()
