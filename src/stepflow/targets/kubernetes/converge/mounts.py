"""Secrets and ConfigMaps that are made again, and the pods that started with the ones before. Pure.

Programs read such files when they start. So one that someone changed or removed is made again with a token, and the
template of the pods that mount it is marked with that token: they start again by the rollout of another template.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepflow.targets.kubernetes.api.kinds import Object, key
from stepflow.targets.kubernetes.converge.compare import compared, is_fixed, leaving
from stepflow.targets.kubernetes.converge.desired import Stage
from stepflow.targets.kubernetes.manifests.names import MOUNTS, REMADE
from stepflow.targets.kubernetes.state.snapshot import CONTROLLERS, ClusterState, annotation, of_job, owner_of

_SOURCES = (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"))
"""Sources of volumes: the field of a volume, the field in it that names an object, and the object's kind."""


def mounted_somewhere(seen: ClusterState) -> frozenset[str]:
    """Name what is mounted by pods, or by those that a controller would make (`kinds.key`)."""
    pods = (each for each in seen.of("Pod") if not of_job(each))
    templates = (each["spec"]["template"] for each in seen.every(CONTROLLERS))
    return frozenset(name for each in (*pods, *templates) for name in _mounted(each))


@dataclass(frozen=True, slots=True)
class Marks:
    """The tokens of what the pods of a controller mount, and the names of what they started with another of."""

    tokens: Mapping[str, str]
    late: tuple[str, ...]
    to_come: bool  # whether something that it mounts is yet to be made again, and gets a token by that

    def on(self, controller: Object) -> Object:
        """Return a controller with its template marked."""
        if not self.tokens:
            return controller
        made = copy.deepcopy(controller)
        notes = made["spec"]["template"]["metadata"].setdefault("annotations", {})
        notes[MOUNTS] = " ".join(f"{name}={token}" for name, token in self.tokens.items())
        return made


def marks(controller: Object, every: Sequence[Stage], seen: ClusterState) -> Marks:
    """Return the marks of a desired controller."""
    there = seen.named(controller["kind"], controller["metadata"]["name"])
    template = there["spec"]["template"] if there else {"metadata": {}, "spec": {}}
    had, started = _marks(template), _mounted(template)
    started |= {name for pod in seen.of("Pod", owner_of(controller)) if not of_job(pod) for name in _mounted(pod)}
    mounted = _mounted(controller["spec"]["template"])
    desired = {key(each): each for stage in every for each in stage.objects if key(each) in mounted}
    remade = {name for name in desired if _is_remade(desired[name], seen)}
    tokens = {name: token for name in sorted(mounted) if (token := _token(name, seen) or had.get(name, ""))}
    late = {name for name in mounted & started if name in remade or tokens.get(name, "") != had.get(name, "")}
    return Marks(tokens, tuple(sorted(late)), bool(remade & mounted_somewhere(seen)))


def _token(name: str, seen: ClusterState) -> str:
    held = seen.named(*name.split("/"))
    token = annotation(held, REMADE) if held else ""
    return token if token.isalnum() else ""  # anything else is not one of ours


def _is_remade(desired: Object, seen: ClusterState) -> bool:
    _, there, found = compared(desired, seen)
    return there is None or leaving(there) or is_fixed(there, found)


def _marks(template: Object) -> Mapping[str, str]:
    return dict(pair.split("=", 1) for pair in annotation(template, MOUNTS).split() if "=" in pair)


def _mounted(pod: Object) -> set[str]:
    volumes = pod["spec"].get("volumes") or ()
    named = ((kind, (each.get(source) or {}).get(field)) for each in volumes for source, field, kind in _SOURCES)
    return {f"{kind}/{name}" for kind, name in named if name}
