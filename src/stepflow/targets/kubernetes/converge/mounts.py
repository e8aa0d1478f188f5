"""Pods that started with another Secret or ConfigMap than the one that they mount now. Pure.

Programs read such files when they start. One that was changed by someone is not put back in place but made again, so
that its age tells which pods started before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stepflow.targets.kubernetes.api.kinds import Object, Objects, key
from stepflow.targets.kubernetes.converge.compare import compared, is_fixed, leaving
from stepflow.targets.kubernetes.converge.desired import Stage
from stepflow.targets.kubernetes.state.snapshot import ClusterState, of_job

_SOURCES = (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"))
"""Sources of volumes: the field of a volume, the field in it that names an object, and the object's kind."""


@dataclass(frozen=True, slots=True)
class StartedWithAnother:
    """A pod, and what it mounts that is younger than the pod or is to be made again."""

    pod: str
    mounted: str  # `kinds.key`
    since: str = ""  # what tells that object from the one before it; "" while it is to be made again

    @property
    def mark(self) -> str:
        """Return what the template of the pods is marked with, so that they start again once."""
        return self.since or self.mounted

    @property
    def words(self) -> str:
        """Format it as a cause."""
        return f"`{self.pod}` started with another `{self.mounted}`"


def pods_of(owner: str, seen: ClusterState) -> Objects:
    """Return what an owner's controller runs."""
    return [pod for pod in seen.of("Pod", owner) if not leaving(pod) and not of_job(pod)]


def started_with_another(owner: str, every: Sequence[Stage], seen: ClusterState) -> StartedWithAnother | None:
    """Return a pod of an owner that is behind what it mounts; None where all started with what there is.

    What no stage desires is not looked at: it is the user's, or only pods of an earlier version mount it.
    """
    oldest: dict[str, Object] = {}  # by what they mount
    for pod in sorted(pods_of(owner, seen), key=_made, reverse=True):
        oldest |= dict.fromkeys(_mounted(pod), pod)
    desired = (each for stage in every for each in stage.objects if key(each) in oldest)
    behind = (_behind(oldest[key(each)], each, seen) for each in desired)
    return max(filter(None, behind), key=lambda one: (not one.since, one.since), default=None)


def _behind(pod: Object, wanted: Object, seen: ClusterState) -> StartedWithAnother | None:
    _, there, found = compared(wanted, seen)
    name, mounted = str(pod["metadata"]["name"]), key(wanted)
    if there is None or leaving(there) or is_fixed(there, found):
        return StartedWithAnother(name, mounted)
    if _made(pod) < _made(there):
        return StartedWithAnother(name, mounted, f"{_made(there)} {there['metadata']['uid']}")
    return None


def _mounted(pod: Object) -> Iterator[str]:
    volumes: Iterable[Object] = pod["spec"].get("volumes") or ()
    for each in volumes:
        for source, field, kind in _SOURCES:
            if source in each:
                yield f"{kind}/{each[source][field]}"


def _made(each: Object) -> str:
    return str(each["metadata"]["creationTimestamp"])
