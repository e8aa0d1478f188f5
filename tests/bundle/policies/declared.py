"""How objects are declared: versions, labels, namespaces, identities, configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .containers import REVEALING, REVEALING_VALUE
from .rule import of_kind, of_pods, rule
from .snapshot import Object, Pod, Snapshot, name, namespace, picks

LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$")
INSTANCE = "app.kubernetes.io/instance"
DEPRECATED = {
    "apps/v1beta1",
    "apps/v1beta2",
    "autoscaling/v2beta1",
    "autoscaling/v2beta2",
    "batch/v1beta1",
    "networking.k8s.io/v1beta1",
    "policy/v1beta1",
}
CLUSTER_WIDE = {"Namespace", "PriorityClass"}


@rule(
    "kube-linter/no-extensions-v1beta", asks="no API of extensions/v1beta", remedy="use apps/v1 or networking.k8s.io/v1"
)
def _extensions(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    old = (item for item in snapshot.objects if item["apiVersion"].startswith("extensions/v1beta"))
    return ((item, f"is of {item['apiVersion']}") for item in old)


@rule("kube-score/stable-version", asks="no API that has a stable one", remedy="use the version without `beta`")
def _stable(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    return ((item, f"is of {item['apiVersion']}") for item in snapshot.objects if item["apiVersion"] in DEPRECATED)


@rule("kube-score/label-values", asks="labels have valid values", remedy="at most 63 letters, digits, `-`, `_` and `.`")
def _labels(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.objects:
        template = item.get("spec", {}).get("template", {}) if item["kind"] != "HTTPRoute" else {}
        for meta in (item["metadata"], template.get("metadata", {})):
            for key, value in meta.get("labels", {}).items():
                if not (isinstance(value, str) and LABEL.match(value)):
                    yield item, f"has `{value}` as its label {key}"


@rule("kube-linter/use-namespace", asks="nothing is in the default namespace", remedy="metadata.namespace")
def _namespace(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.objects:
        if item["kind"] not in CLUSTER_WIDE and namespace(item) in {"", "default"}:
            yield item, "is in the default namespace"


@rule(
    "polaris/metadataAndInstanceMismatched",
    asks=f"the label {INSTANCE} of a controller is its name",
    remedy="make the label the object's name",
)
def _instance(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("Deployment", "StatefulSet", "Job"):
        if item["metadata"].get("labels", {}).get(INSTANCE) != name(item):
            yield item, f"has another {INSTANCE}"


@rule(
    "kube-linter/mismatching-selector",
    "kube-score/deployment-pod-selector-labels-match-template-metadata-labels",
    "kube-score/statefulset-pod-selector-labels-match-template-metadata-labels",
    asks="a controller picks its own pods",
    remedy="make its selector labels of the template",
)
def _selector(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        if not pod.is_job and not picks(pod.owner["spec"].get("selector"), pod.labels):
            yield pod.owner, "does not pick its own pods"


@of_pods(
    "kube-linter/default-service-account",
    asks="a pod has an identity of its own",
    remedy="serviceAccountName: an account of its own",
)
def _default_account(pod: Pod) -> str:
    return "has the default identity" if pod.spec.get("serviceAccountName", "default") == "default" else ""


@of_pods(
    "kube-linter/deprecated-service-account-field",
    asks="the identity is named by serviceAccountName",
    remedy="serviceAccountName instead of serviceAccount",
)
def _deprecated_account(pod: Pod) -> str:
    return "names its identity by serviceAccount" if "serviceAccount" in pod.spec else ""


@rule(
    "kube-linter/non-existent-service-account",
    asks="the identity is there",
    remedy="add the ServiceAccount",
)
def _missing_account(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        account = pod.spec.get("serviceAccountName", "default")
        if account != "default" and (namespace(pod.owner), account) not in snapshot.names("ServiceAccount"):
            yield pod.owner, f"has the identity `{account}`, which is not there"


@rule(
    "polaris/automountServiceAccountToken",
    asks="no pod gets a token of the API",
    remedy="automountServiceAccountToken: false, in the pod and in the ServiceAccount",
)
def _token(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield pod.owner, "gets a token of the API"
    for item in snapshot.of("ServiceAccount"):
        if item.get("automountServiceAccountToken") is not False:
            yield item, "gives a token of the API"


@rule(
    "kube-linter/env-value-from",
    asks="a ConfigMap or Secret that the environment is read from is there",
    remedy="add it, or leave the variable out",
)
def _sources(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        for variable in (v for c in pod.containers for v in c.get("env", []) if "valueFrom" in v):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                wanted = variable["valueFrom"].get(field)
                found = (i for i in snapshot.of(kind) if wanted and name(i) == wanted["name"])
                if wanted and not any(wanted["key"] in each.get("data", {}) for each in found):
                    yield pod.owner, f"reads {variable['name']} from {kind} `{wanted['name']}`, which has it not"


@of_kind(
    "ConfigMap",
    "polaris/sensitiveConfigmapContent",
    asks="no ConfigMap holds what looks like a credential",
    remedy="put it into a Secret, or name the key otherwise",
)
def _revealed(item: Object) -> str:
    data = item.get("data", {})
    keys = [key for key, value in data.items() if REVEALING.search(key) or REVEALING_VALUE.search(value)]
    return f"holds {', '.join(keys)}" if keys else ""
