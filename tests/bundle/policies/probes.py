"""How a pod says that it started, may get requests, and must be restarted; the ports where it is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .rule import Finder, of_containers, of_kind, rule
from .snapshot import Object, Pod, Snapshot

PRIVILEGED = 1024
SSH = 22
PORT_NAME = re.compile(r"^(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
"""A service name of RFC 6335, section 5.1, in lower case."""
LAST_PORT = 65535
WAYS = ("httpGet", "tcpSocket", "grpc", "exec")


def _lasting(judge: Callable[[Pod, Object], str]) -> Callable[[Pod, Object], str]:
    """Leave the pods of Jobs out: what runs to an end is asked nothing (kube-score and polaris say so)."""
    return lambda pod, container: "" if pod.is_job else judge(pod, container)


@of_containers(
    "kube-linter/no-liveness-probe",
    "polaris/livenessProbeMissing",
    asks="a liveness probe",
    remedy="livenessProbe",
    initial=False,
)
@_lasting
def _liveness(_: Pod, container: Object) -> str:
    return "" if container.get("livenessProbe") else "has no liveness probe"


@of_containers(
    "kube-linter/no-readiness-probe",
    "polaris/readinessProbeMissing",
    asks="a readiness probe",
    remedy="readinessProbe",
    initial=False,
)
@_lasting
def _readiness(_: Pod, container: Object) -> str:
    return "" if container.get("readinessProbe") else "has no readiness probe"


@rule(
    "kube-score/pod-probes",
    asks="a pod that a Service picks has a readiness and a liveness probe",
    remedy="readinessProbe and livenessProbe in one of its containers",
)
def _probes(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        for probe in ("readinessProbe", "livenessProbe"):
            asked = any(each.get(probe) for each in pod.containers)
            if not asked and not pod.is_job and snapshot.has_service(pod):
                yield pod.owner, f"has no {probe}"


@of_containers(
    "kube-score/pod-probes-identical",
    asks="readiness and liveness are two questions",
    remedy="ask for readiness what liveness does not: whether what it needs answers",
    initial=False,
)
@_lasting
def _identical(_: Pod, container: Object) -> str:
    asked = [
        {way: container.get(probe, {}).get(way) for way in WAYS if way in container.get(probe, {})}
        for probe in ("readinessProbe", "livenessProbe")
    ]
    return "asks the same for readiness and liveness" if asked[0] and asked[0] == asked[1] else ""


def _exposed(probe: str) -> Finder:
    def judge(_: Pod, container: Object) -> str:
        ports = [each for each in container.get("ports", []) if each.get("protocol", "TCP") == "TCP"]
        known = {each["containerPort"] for each in ports} | {each.get("name") for each in ports}
        asked = container.get(f"{probe}Probe", {})
        wrong = [asked[way]["port"] for way in WAYS[:3] if way in asked and asked[way]["port"] not in known]
        return f"has a {probe} probe of port {wrong[0]}, which it does not expose" if wrong else ""

    return of_containers(
        f"kube-linter/{probe}-port",
        asks=f"a {probe} probe asks a port of the container",
        remedy="name the port in ports, or ask another",
    )(judge)


_startup_port, _readiness_port, _liveness_port = (_exposed(each) for each in ("startup", "readiness", "liveness"))


@of_containers("kube-linter/privileged-ports", asks="no port below 1025", remedy="listen above 1024")
def _privileged(_: Pod, container: Object) -> str:
    low = [p["containerPort"] for p in container.get("ports", []) if 0 < p["containerPort"] <= PRIVILEGED]
    return f"listens on port {low[0]}" if low else ""


@of_containers("kube-linter/ssh-port", asks="port 22 is for SSH", remedy="listen on another port")
def _ssh(_: Pod, container: Object) -> str:
    return "listens on port 22" if any(each["containerPort"] == SSH for each in container.get("ports", [])) else ""


@of_containers(
    "kube-score/container-ports-check",
    asks="ports have a number and names of their own of at most 15 characters",
    remedy="name each port once, in at most 15 characters",
)
def _ports(_: Pod, container: Object) -> str:
    ports = container.get("ports", [])
    names = [each["name"] for each in ports if each.get("name")]
    wrong = [each for each in names if names.count(each) > 1 or len(each) > 15]
    unnumbered = any(not each.get("containerPort") for each in ports)
    return (
        "has a port without a number"
        if unnumbered
        else f"has a port named `{wrong[0]}`, twice or too long"
        if wrong
        else ""
    )


@rule(
    "kube-linter/invalid-target-ports",
    asks="names and numbers of ports are valid",
    remedy="lower case letters, digits and single dashes, at most 15; 1 to 65535",
)
def _target_ports(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        for container in pod.containers:
            for port in container.get("ports", []):
                if "name" in port and not PORT_NAME.match(port["name"]):
                    yield pod.owner, f"names a port `{port['name']}`"
    for service in snapshot.of("Service"):
        for port in service["spec"].get("ports", []):
            target = port.get("targetPort", port["port"])
            if not (PORT_NAME.match(target) if isinstance(target, str) else 0 < target <= LAST_PORT):
                yield service, f"sends to port `{target}`"


@of_kind(
    "Service",
    "kube-linter/exposed-services",
    "kube-score/service-type",
    asks="no port on every node, no load balancer of its own",
    remedy="type: ClusterIP, and an Ingress or a route of a Gateway",
)
def _exposed_services(item: Object) -> str:
    kind = item["spec"].get("type", "ClusterIP")
    return f"is a {kind}" if kind in {"NodePort", "LoadBalancer"} else ""
