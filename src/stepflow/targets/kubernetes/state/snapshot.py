"""A snapshot of a platform in its cluster, by kind; one request for each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.errors import FORBIDDEN, GONE, ClusterRefusedError
from stepflow.targets.kubernetes.api.kinds import OF_THE_CLUSTER, Object, Objects, key
from stepflow.targets.kubernetes.manifests.names import MEANING, OURS, OWNER, PART_OF

CONTROLLERS = ("Deployment", "StatefulSet")
RUNNING: Mapping[str, str] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "PersistentVolumeClaim": "v1",
}
"""Kinds that show how what runs is doing -> their version."""
STANDING: Mapping[str, str] = {
    "ServiceAccount": "v1",
    "Service": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "ResourceQuota": "v1",
    "LimitRange": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PriorityClass": "scheduling.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}
"""The other kinds that a platform can have."""
ALL: Mapping[str, str] = {**STANDING, **RUNNING}
_TEMPLATES: Mapping[str, str] = {"ControllerRevision": "apps/v1"}
"""Kinds that keep earlier templates of a controller, as ReplicaSets do."""
_OURS_ALONE = frozenset({*_TEMPLATES, "PersistentVolumeClaim", "Pod", "ReplicaSet"})
"""Kinds of which other people's are not looked at: their names are made up."""
_HOLDING = frozenset({"ConfigMap", "Secret"})
"""Kinds of which other people's are looked at in the platform's own namespace only: they are large or secret."""
_EXTENSIONS = frozenset({"HTTPRoute", "ServiceMonitor", "PrometheusRule"})  # which not every cluster has
_EVENT = "Event"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What there is of a platform, objects by kind, and what this machine knows of it."""

    objects: Mapping[str, Objects]
    foreign: frozenset[str] = frozenset()  # names (`kinds.key`) of what others have where the platform is
    unlabelled: Mapping[str, Object] = field(default_factory=dict)  # those of them that have lost stepflow's label
    own: bool = False  # whether the namespace is the platform's own, by its usual name
    namespace: Object | None = None  # the one that it is in, also if it was there before
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # texts of its secrets on this machine

    def of(self, kind: str, owner: str = "") -> Objects:
        """Return the objects of a kind, or those of one owner."""
        found = self.objects.get(kind, [])
        return [each for each in found if not owner or owner_of(each) == owner]

    def named(self, kind: str, name: str) -> Object | None:
        """Return an object; None when there is none."""
        return named(self.of(kind), name)

    def every(self, kinds: Iterable[str]) -> Objects:
        """Return the objects of several kinds."""
        return [each for kind in kinds for each in self.of(kind)]

    @property
    def lasting(self) -> ClusterState:
        """This snapshot without what goes with its namespace, where that is being deleted."""
        if self.namespace is None or "deletionTimestamp" not in self.namespace["metadata"]:
            return self
        objects = {kind: found for kind, found in self.objects.items() if kind in OF_THE_CLUSTER}
        foreign = frozenset(name for name in self.foreign if name.partition("/")[0] in OF_THE_CLUSTER)
        unlabelled = {name: each for name, each in self.unlabelled.items() if name in foreign}
        return replace(self, objects=objects, foreign=foreign, unlabelled=unlabelled)

    def adopting(self, desired: Collection[str]) -> ClusterState:
        """Return this snapshot with what has lost its label, where the namespace is the platform's own and something of
        that name is desired (`kinds.key`): any other may be a copy that someone keeps.
        """
        mine = {name: each for name, each in self.unlabelled.items() if self.own and name in desired}
        objects = {kind: list(found) for kind, found in self.objects.items()}
        for each in mine.values():
            objects.setdefault(each["kind"], []).append(each)
        rest = {name: each for name, each in self.unlabelled.items() if name not in mine}
        return replace(self, objects=objects, foreign=self.foreign - mine.keys(), unlabelled=rest)

    def updated(self, later: ClusterState) -> ClusterState:
        """Return this snapshot with the kinds that a later one has, which was asked for by the label."""
        lost = {
            kind: [one for one in self.of(kind) if OURS not in (one["metadata"].get("labels") or {})]
            for kind in later.objects
        }
        found = {kind: [*some, *_beside(lost[kind], some)] for kind, some in later.objects.items()}
        return replace(self, objects={**self.objects, **found})

    def keys(self) -> frozenset[str]:
        """Name everything: `Service/orders`."""
        return frozenset(key(each) for kind, each_of in self.objects.items() if kind != _EVENT for each in each_of)

    def warning(self, kind: str, uid: str, why: Collection[str] = (), *, containing: str = "") -> str:
        """Return the cluster's last warning about an object; "" if there is none."""
        return next((text for _, text in self._events(kind, uid, why, "Warning") if containing in text), "")

    def told(self, kind: str, uid: str, why: Collection[str]) -> bool:
        """Return whether the cluster said something of an object."""
        return any(True for _ in self._events(kind, uid, why, ""))

    def _events(self, kind: str, uid: str, why: Collection[str], level: str) -> list[tuple[str, str]]:
        found = [
            (_when(each), str(each.get("message", "")))
            for each in self.of(_EVENT)
            if each["involvedObject"].get("kind") == kind
            and each["involvedObject"].get("uid") == uid
            and (not why or each.get("reason") in why)
            and (not level or each.get("type") == level)
        ]
        return sorted(found, reverse=True)


async def look(client: Client, namespace: str, number: str, kinds: Mapping[str, str]) -> ClusterState:
    """Look at all objects of a platform of these kinds; `number` is its id."""
    found = await asyncio.gather(*(_listed(client, namespace, number, kind, kinds[kind]) for kind in kinds))
    return ClusterState(dict(zip(kinds, found, strict=True)))


async def look_everywhere(client: Client, namespace: str, number: str, secrets: Mapping[str, str]) -> ClusterState:
    """Look at all of a platform, and at the names of what others have where it is."""
    kinds, alone = {**ALL, **_TEMPLATES}, _OURS_ALONE | (frozenset() if _is_named(namespace, number) else _HOLDING)
    wide = {kind: version for kind, version in kinds.items() if kind not in alone}
    narrow = {kind: version for kind, version in kinds.items() if kind in alone}
    there, mine, every = await asyncio.gather(
        client.get("v1", "Namespace", namespace),
        look(client, namespace, number, narrow),
        asyncio.gather(*(_list(client, namespace, kind, version, "") for kind, version in wide.items())),
    )
    found = dict(zip(wide, every, strict=True))
    ours = {kind: [each for each in some if _is_ours(each, namespace, number)] for kind, some in found.items()}
    names = {key(each): each for some in found.values() for each in some}
    foreign = names.keys() - {key(each) for some in ours.values() for each in some}
    unlabelled = {name: names[name] for name in sorted(foreign) if has_lost_label(names[name], namespace)}
    own = there is not None and _is_named(namespace, number) and made_for(there, number)
    objects = await _explained(client, namespace, {**mine.objects, **ours})
    return ClusterState(objects, frozenset(foreign), unlabelled, own, there, secrets)


async def look_running(client: Client, namespace: str, number: str, *, templates: bool = False) -> ClusterState:
    """Look at what runs, and what the cluster says about it; with `templates`, at the earlier ones of controllers."""
    kinds = {**RUNNING, **_TEMPLATES} if templates else RUNNING
    seen = await look(client, namespace, number, kinds)
    return ClusterState(await _explained(client, namespace, seen.objects))


async def _explained(client: Client, namespace: str, objects: Mapping[str, Objects]) -> dict[str, Objects]:
    """Return objects with the cluster's events where one of them is not as it is to be.

    A namespace keeps the events of an hour, which are more than all that a platform is.
    """
    found = any(_unsettled(each) for kind in RUNNING for each in objects.get(kind, ()))
    return {**objects, _EVENT: await client.list("v1", _EVENT, namespace) if found else []}


def _unsettled(each: Object) -> bool:
    """Return whether an object is on its way, or in trouble."""
    status, spec = each.get("status") or {}, each.get("spec") or {}
    true = {one["type"] for one in status.get("conditions") or () if one.get("status") == "True"}
    match each["kind"]:
        case "Pod":
            return "deletionTimestamp" in each["metadata"] or not (
                "Ready" in true or status.get("phase") == "Succeeded"
            )
        case "Job":
            return "Complete" not in true
        case "PersistentVolumeClaim":
            return bool(status.get("phase") != "Bound")
        case _:
            return bool(status.get("readyReplicas", 0) < spec.get("replicas", 1))


def made_for(namespace: Object, number: str) -> bool:
    """Return whether stepflow made a namespace for the platform with this id: its label alone may be a user's."""
    by_name = _is_named(namespace["metadata"]["name"], number)
    if (namespace["metadata"].get("labels") or {}).get(OURS) == number:
        return by_name or annotation(namespace, MEANING) != ""
    return by_name and has_lost_label(namespace, namespace["metadata"]["name"])


def _is_named(namespace: str, number: str) -> bool:
    """Return whether a namespace is called as stepflow calls that of the platform with this id."""
    return namespace.endswith(f"-{number}")


def has_lost_label(each: Object, namespace: str) -> bool:
    """Return whether stepflow made an object for the platform in a namespace, and it no longer says whose it is."""
    labels = each["metadata"].get("labels") or {}
    made = MEANING in (each["metadata"].get("annotations") or {})
    return made and OURS not in labels and labels.get(PART_OF, namespace) == namespace


def look_now(client: Client, namespace: str, number: str, kind: str, owner: str) -> Objects:
    """Look at one kind of one owner, blocking."""
    return client.list_now(RUNNING[kind], kind, namespace, f"{OURS}={number},{OWNER}={owner}")


def _beside(some: Objects, others: Objects) -> Objects:
    """Return those of some objects that are not among others by name."""
    names = {each["metadata"]["name"] for each in others}
    return [each for each in some if each["metadata"]["name"] not in names]


def owner_of(each: Object) -> str:
    """Name whose an object is."""
    return str((each["metadata"].get("labels") or {}).get(OWNER, ""))


def ports_in(services: Iterable[Object]) -> Mapping[str, Mapping[str, int]]:
    """Return the ports of workloads and servers, by their Services; one that only names pods has no address."""
    return {owner_of(each): port_numbers(each) for each in services if each["spec"].get("clusterIP") != "None"}


def port_numbers(service: Object) -> Mapping[str, int]:
    """Return the ports of a Service by name; someone may have taken the names away."""
    return {port["name"]: port["port"] for port in service["spec"].get("ports") or () if "name" in port}


def annotation(each: Object, name: str) -> str:
    """Return an annotation; "" when there is none."""
    return str((each["metadata"].get("annotations") or {}).get(name, ""))


def named(found: Objects, name: str) -> Object | None:
    """Find an object by its name."""
    return next((each for each in found if each["metadata"]["name"] == name), None)


def owned_by(each: Object, owner: Object) -> bool:
    """Return whether a controller made an object."""
    uid = owner["metadata"].get("uid")
    return any(reference.get("uid") == uid for reference in each["metadata"].get("ownerReferences") or ())


def of_job(pod: Object) -> bool:
    """Return whether a Job made a pod."""
    return any(reference.get("kind") == "Job" for reference in pod["metadata"].get("ownerReferences") or ())


async def _listed(client: Client, namespace: str, number: str, kind: str, version: str) -> Objects:
    found = await _list(client, namespace, kind, version, f"{OURS}={number}")
    return [each for each in found if _is_ours(each, namespace, number)]


async def _list(client: Client, namespace: str, kind: str, version: str, labels: str) -> Objects:
    try:
        return await client.list(version, kind, namespace, labels)
    except ClusterRefusedError as error:
        if kind in _EXTENSIONS and error.status in {GONE, FORBIDDEN}:
            return []
        raise


def _is_ours(each: Object, namespace: str, number: str) -> bool:
    """Return whether an object is this platform's.

    What is in no namespace may be anybody's, whatever its label says: ours are called after the namespace, too.
    """
    return (each["metadata"].get("labels") or {}).get(OURS) == number and _is_within(each, namespace)


def _is_within(each: Object, namespace: str) -> bool:
    return each["kind"] not in OF_THE_CLUSTER or str(each["metadata"]["name"]).startswith(f"{namespace}-")


def _when(event: Object) -> str:
    """Return when it was said last: texts of RFC 3339 sort as times."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")
