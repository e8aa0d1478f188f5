"""Pods that started with another Secret or ConfigMap than the one that they mount now. Pure.

Programs read such files when they start. One that was changed by someone is not put back in place but made again, so
that its age tells which pods started before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepflow.targets.kubernetes.api.kinds import Object, Objects, key
from stepflow.targets.kubernetes.converge.compare import compared, is_fixed, leaving
from stepflow.targets.kubernetes.converge.desired import Stage
from stepflow.targets.kubernetes.manifests.names import MOUNTED_SINCE
from stepflow.targets.kubernetes.state.snapshot import ClusterState, annotation, of_job

_SOURCES = (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"))
"""Sources of volumes: the field of a volume, the field in it that names an object, and the object's kind."""
_UNMADE = "0"  # sorts before any time


@dataclass(frozen=True, slots=True)
class StartedWithAnother:
    """A pod, and what it mounts that is younger than the pod or is to be made again."""

    pod: str
    mounted: tuple[str, ...]  # `kinds.key`
    mark: str  # what the template of the pods is marked with, so that they start again once; later ones sort last

    @property
    def words(self) -> str:
        """Format it as a cause."""
        return f"`{self.pod}` started with another {', '.join(f'`{each}`' for each in self.mounted)}"


def pods_of(owner: str, seen: ClusterState) -> Objects:
    """Return what an owner's controller runs."""
    return [pod for pod in seen.of("Pod", owner) if not leaving(pod) and not of_job(pod)]


def started_with_another(owner: str, every: Sequence[Stage], seen: ClusterState) -> StartedWithAnother | None:
    """Return what an owner's pods mount and are behind, with one of them; None where all started with what there is.

    What no stage desires is not looked at: it is the user's, or only pods of an earlier version mount it.
    """
    pods = sorted(pods_of(owner, seen), key=lambda pod: (_made(pod), pod["metadata"]["name"]))
    mounted = {name for pod in pods for name in _mounted(pod)}
    desired = {key(each): each for stage in every for each in stage.objects if key(each) in mounted}
    marks = {name: _mark(desired[name], seen) for name in sorted(desired)}
    behind = [(pod, name) for pod in pods for name in marks if name in _mounted(pod) and _behind(pod, marks[name])]
    if not behind:
        return None
    names = tuple(sorted({name for _, name in behind}))
    return StartedWithAnother(
        str(behind[0][0]["metadata"]["name"]), names, max(marks[name] for name in names) or _UNMADE
    )


def _mark(desired: Object, seen: ClusterState) -> str:
    """Return since when there is an object, and which; "" for one that is to be made again."""
    _, there, found = compared(desired, seen)
    if there is None or leaving(there) or is_fixed(there, found):
        return ""
    return f"{_made(there)} {there['metadata']['uid']}"


def _behind(pod: Object, mark: str) -> bool:
    """Return whether a pod is older than what it mounts.

    One that has the mark is not, also where the clocks of the cluster's API servers differ.
    """
    return not mark or (_made(pod) < mark.partition(" ")[0] and annotation(pod, MOUNTED_SINCE) < mark)


def _mounted(pod: Object) -> set[str]:
    volumes = pod["spec"].get("volumes") or ()
    named = ((each, *source) for each in volumes for source in _SOURCES)
    return {f"{kind}/{each[source][field]}" for each, source, field, kind in named if source in each}


def _made(each: Object) -> str:
    return str(each["metadata"]["creationTimestamp"])
