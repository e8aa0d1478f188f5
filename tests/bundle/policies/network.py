"""What may talk to what, and whether what is named is there."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import of_kind, of_pods, rule
from .snapshot import Object, Pod, Snapshot, name, namespace, picks

BOTH = {"Ingress", "Egress"}


@rule(
    "kube-linter/dangling-service",
    "kube-score/service-targets-pod",
    asks="a Service picks pods",
    remedy="make its selector the labels of a pod",
)
def _service(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    return ((item, "picks no pod") for item in snapshot.of("Service") if not snapshot.behind(item))


@rule(
    "kube-linter/dangling-networkpolicy",
    "kube-score/networkpolicy-targets-pod",
    asks="a NetworkPolicy picks pods",
    remedy="make its podSelector the labels of a pod",
)
def _policy(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("NetworkPolicy"):
        if not snapshot.selected(namespace(item), item["spec"]["podSelector"]):
            yield item, "picks no pod"


@rule(
    "kube-linter/dangling-networkpolicypeer-podselector",
    asks="who is let through exists",
    remedy="make the peer's podSelector the labels of a pod",
    decided_by="which steps the document has",
)
def _peers(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("NetworkPolicy"):
        rules = [*item["spec"].get("ingress", []), *item["spec"].get("egress", [])]
        for peer in (peer for each in rules for peer in (*each.get("from", []), *each.get("to", []))):
            own = "podSelector" in peer and "namespaceSelector" not in peer
            if own and not snapshot.selected(namespace(item), peer["podSelector"]):
                yield item, f"lets pods through that are not there: {peer['podSelector'].get('matchLabels')}"


@rule(
    "kube-linter/non-isolated-pod",
    "kube-score/pod-networkpolicy",
    asks="NetworkPolicies of both directions pick every pod",
    remedy="a NetworkPolicy for its labels, or one for all pods, with policyTypes Ingress and Egress",
)
def _isolated(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        policies = (
            p for p in snapshot.of("NetworkPolicy") if pod in snapshot.selected(namespace(p), p["spec"]["podSelector"])
        )
        if missing := BOTH - {direction for policy in policies for direction in _directions(policy)}:
            yield pod.owner, f"is not isolated: {' and '.join(sorted(missing))}"


def _directions(policy: Object) -> set[str]:
    said = policy["spec"].get("policyTypes")
    return set(said) if said else {"Ingress"} | ({"Egress"} if policy["spec"].get("egress") else set())


@rule(
    "polaris/missingNetworkPolicy",
    asks="a pod has a NetworkPolicy of its own that says what may call it and what it may call",
    remedy="one NetworkPolicy by one label of the pod, with ingress and egress rules",
)
def _own_policy(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        if not any(_tells_both(policy["spec"], pod) for policy in snapshot.of("NetworkPolicy")):
            yield pod.owner, "has no NetworkPolicy of its own"


def _tells_both(spec: Object, pod: Pod) -> bool:
    """Return whether polaris takes a policy for the pod's: exactly one of the labels that it picks by is the pod's."""
    wanted = spec["podSelector"].get("matchLabels", {})
    shared = sum(pod.labels.get(key) == value for key, value in wanted.items())
    both = set(spec.get("policyTypes", BOTH)) >= BOTH
    return shared == 1 and both and bool(spec.get("ingress")) and bool(spec.get("egress"))


@rule(
    "kube-linter/dangling-ingress",
    "kube-score/ingress-targets-service",
    asks="an Ingress sends to Services that are there",
    remedy="name an existing Service and one of its ports",
)
def _ingress(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    ports = {(namespace(s), name(s)): _ports(s) for s in snapshot.of("Service")}
    for item in snapshot.of("Ingress"):
        paths = [p for each in item["spec"].get("rules", []) for p in each.get("http", {}).get("paths", [])]
        for service in (each["backend"]["service"] for each in paths):
            wanted = service["port"].get("name", service["port"].get("number"))
            if wanted not in ports.get((namespace(item), service["name"]), set()):
                yield item, f"sends to port {wanted} of Service `{service['name']}`, which is not there"


def _ports(service: Object) -> set[str | int]:
    return {each[key] for each in service["spec"]["ports"] for key in ("name", "port") if key in each}


@of_kind("Ingress", "polaris/tlsSettingsMissing", asks="an Ingress speaks TLS", remedy="spec.tls")
def _tls(item: Object) -> str:
    return "" if item["spec"].get("tls") else "speaks plain HTTP"


@rule(
    "kube-linter/dangling-servicemonitor",
    asks="a ServiceMonitor picks Services",
    remedy="make its selector the labels of a Service",
)
def _monitor(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("ServiceMonitor"):
        chosen = item["spec"].get("selector")
        if not any(picks(chosen, service["metadata"].get("labels", {})) for service in snapshot.of("Service")):
            yield item, "picks no Service"


@rule(
    "kube-score/statefulset-has-servicename",
    asks="a StatefulSet's Service is there, headless, and picks its pods",
    remedy="serviceName: a Service with clusterIP None and the pods' labels",
)
def _headless(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        wanted = pod.owner["spec"].get("serviceName")
        services = (s for s in snapshot.of("Service") if name(s) == wanted and s["spec"].get("clusterIP") == "None")
        if pod.owner["kind"] == "StatefulSet" and not any(pod in snapshot.behind(each) for each in services):
            yield pod.owner, f"has no headless Service `{wanted}`"


@of_pods(
    "kube-linter/dnsconfig-options",
    asks="names of two labels are asked for as they are",
    remedy='dnsConfig.options: ndots "2"',
)
def _ndots(pod: Pod) -> str:
    options = pod.spec.get("dnsConfig", {}).get("options", [])
    return "" if {"name": "ndots", "value": "2"} in options else "asks the cluster's DNS five times for each name"
