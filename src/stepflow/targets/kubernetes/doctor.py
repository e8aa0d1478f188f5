"""What this machine and the cluster have and lack for the Kubernetes target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepflow.errors import StepflowError
from stepflow.targets.contract import Finding
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.context import choose
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.api.kubeconfig import read
from stepflow.targets.kubernetes.loading.node_loaders import REGISTRY, Beside, Inside, Shared, loaders
from stepflow.targets.kubernetes.loading.nodes import Node, usable
from stepflow.targets.kubernetes.manifests.quantity import amount

OLDEST, NEWEST = (1, 33), (1, 37)
"""The versions of Kubernetes that the objects are validated for."""
CPU, MEMORY = 1.5, 3 * 1024**3
"""Cores and bytes that the reference platform requests, with three copies of each service."""
_UNIT = 1024**3
_SMALLER = "add a node, give the cluster's machine more, or run one copy of each: `- Replicas: 1` in the last step"
_RIGHTS = (
    ("create", "", "namespaces"),
    ("create", "scheduling.k8s.io", "priorityclasses"),
    ("create", "apps", "deployments"),
    ("create", "apps", "statefulsets"),
    ("create", "batch", "jobs"),
    ("create", "autoscaling", "horizontalpodautoscalers"),
    ("create", "networking.k8s.io", "networkpolicies"),
    ("create", "", "secrets"),
    ("create", "", "resourcequotas"),
    ("create", "", "pods/portforward"),
)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def examine(options: Mapping[str, str]) -> tuple[Finding, ...]:
    """Ask the cluster that a run with these options would use about itself; one that is not local only by name."""
    try:
        context = choose(read(), options.get("context", ""))
        client = Client(context.name)
    except StepflowError as error:
        remedy = error.hint.removeprefix("pass ")
        remedy = remedy.replace("`--context", "`stepflow doctor --target kubernetes --context", 1)
        return (Finding("kubernetes context", ok=False, detail=error.message, remedy=remedy), _engine(Engine()))
    what = "local" if context.local else "not local: runs need `--context`"
    first = Finding("kubernetes context", ok=True, detail=f"`{context.name}` at {context.server}, {what}")
    try:
        version = _version(client)
    except StepflowError as error:
        found = Finding("kubernetes api", ok=False, detail=error.message, remedy=error.hint)
        return (first, found, _engine(Engine()))
    engine = Engine()
    return (first, version, _rights(client), *_nodes(client, engine), *_features(client), _engine(engine))


def _version(client: Client) -> Finding:
    version, said = client.version_now()
    if version < OLDEST:
        said += f"; older than {_dotted(OLDEST)}, the oldest that the objects are validated for"
    elif version > NEWEST:
        said += f"; newer than {_dotted(NEWEST)}, the newest that the objects are validated for"
    return Finding("kubernetes api", ok=True, detail=said)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _rights(client: Client) -> Finding:
    lacking = [f"{verb} {resource}" for verb, group, resource in _RIGHTS if not _may(client, verb, group, resource)]
    detail = f"you may not: {', '.join(lacking)}" if lacking else "all that a run needs"
    remedy = "ask the cluster's administrator for them; `docs/kubernetes-target.md` lists them"
    return Finding("kubernetes rights", ok=not lacking, detail=detail, remedy=remedy)


def _may(client: Client, verb: str, group: str, resource: str) -> bool:
    """Ask as `kubectl auth can-i` does."""
    kind, _, part = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": kind, "subresource": part}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = client.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", (), body)
    return bool(answer["status"].get("allowed"))


def _nodes(client: Client, engine: Engine) -> Iterator[Finding]:
    """Return which nodes there are, how images get there, and whether there is room."""
    try:
        listed = client.list_now("v1", "Node")
    except StepflowError as error:
        yield Finding("kubernetes nodes", ok=True, detail=f"cannot be seen ({error.message}): {REGISTRY}")
        return
    nodes = usable(listed)
    kinds = sorted({f"{node.runtime} {node.version}, {node.architecture}" for node in nodes})
    detail = f"{len(nodes)} of {len(listed)} are ready and take any pod; {'; '.join(kinds)}"
    yield Finding("kubernetes nodes", ok=bool(nodes), detail=detail, remedy="`kubectl get nodes` says what they lack")
    if nodes:
        yield _loading(nodes, engine)
        yield _room(client, [each for each in listed if each["metadata"]["name"] in {node.name for node in nodes}])


def _loading(nodes: tuple[Node, ...], engine: Engine) -> Finding:
    said = {Shared: "of the engine itself", Inside: "loaded into the node's container", Beside: "loaded by the socket"}
    try:
        info = engine.ask_now(lambda api: api.info())
    except StepflowError:
        info = {}
    try:
        found = sorted({said[type(way)] for way in loaders(nodes, engine, info).values()})
    except StepflowError as error:
        return Finding("kubernetes images", ok=True, detail=f"runs need {REGISTRY}; {error.message}")
    return Finding("kubernetes images", ok=True, detail=f"without `--registry`: {' and '.join(found)}")


def _room(client: Client, nodes: list[Object]) -> Finding:
    """Compare what the nodes have left with what the reference platform requests."""
    try:
        pods = client.list_now("v1", "Pod")
    except StepflowError:
        return Finding("kubernetes room", ok=True, detail="cannot be seen: you may not list the pods of all namespaces")
    names = {each["metadata"]["name"] for each in nodes}
    running = [each for each in pods if each["spec"].get("nodeName") in names]
    running = [each for each in running if each.get("status", {}).get("phase") not in {"Succeeded", "Failed"}]
    free = {name: _left(nodes, running, name) for name in ("cpu", "memory")}
    detail = (
        f"{free['cpu']:.1f} cores and {free['memory'] / _UNIT:.1f} GiB are left to request; "
        f"the reference platform requests {CPU:.1f} and {MEMORY / _UNIT:.0f} GiB"
    )
    enough = free["cpu"] >= CPU and free["memory"] >= MEMORY
    return Finding("kubernetes room", ok=enough, detail=detail, remedy=_SMALLER)


def _left(nodes: list[Object], pods: list[Object], resource: str) -> float:
    containers = [one for each in pods for one in each["spec"]["containers"]]
    asked = sum(amount((one.get("resources", {}).get("requests") or {}).get(resource, "0")) for one in containers)
    return sum(amount(each["status"]["allocatable"][resource]) for each in nodes) - asked


def _features(client: Client) -> Iterator[Finding]:
    yield _storage(client)
    groups = {each["name"] for each in client.send("GET", "/apis")["groups"]}
    metrics = "metrics.k8s.io" in groups
    said = "there: copies are added by their use of the CPU"
    lacking = "no metrics API: the number of copies stays at the least; metrics-server brings it"
    yield Finding("kubernetes metrics", ok=True, detail=said if metrics else lacking)
    ways_in = _classes(client)
    ways_in += ["Gateway API"] if "gateway.networking.k8s.io" in groups else []
    listed = ", ".join(ways_in) or "neither an Ingress class nor the Gateway API"
    yield Finding("kubernetes entry", ok=True, detail=f"{listed}; `stepflow open` needs none")
    said = "network policies are applied; whether the cluster's network enforces them cannot be seen"
    yield Finding("kubernetes policies", ok=True, detail=said)


def _storage(client: Client) -> Finding:
    try:
        classes = client.list_now("storage.k8s.io/v1", "StorageClass")
    except StepflowError as error:
        return Finding("kubernetes storage", ok=True, detail=f"cannot be seen: {error.message}")
    marked = [each for each in classes if (each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"]
    if marked:
        first = marked[0]
        detail = f"class `{first['metadata']['name']}` ({first['provisioner']}) is the default"
        return Finding("kubernetes storage", ok=True, detail=detail)
    names = ", ".join(f"`{each['metadata']['name']}`" for each in classes)
    remedy = "name one in `--values`: `storage: {class: NAME}`" if names else "`--values`: `storage: {ephemeral: true}`"
    detail = f"no StorageClass is the default; there are: {names or 'none'}"
    return Finding("kubernetes storage", ok=False, detail=detail, remedy=remedy)


def _classes(client: Client) -> list[str]:
    try:
        found = client.list_now("networking.k8s.io/v1", "IngressClass")
    except StepflowError:
        return []
    return [f"Ingress class `{each['metadata']['name']}`" for each in found]


def _engine(engine: Engine) -> Finding:
    try:
        version = engine.ask_now(lambda api: api.version())["Version"]
    except StepflowError as error:
        detail = f"images cannot be built: {error.message}"
        return Finding("kubernetes builds", ok=False, detail=detail, remedy=error.hint)
    return Finding("kubernetes builds", ok=True, detail=f"by the Docker engine {version} at {engine.host}")
