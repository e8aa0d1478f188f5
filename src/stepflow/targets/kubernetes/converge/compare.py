"""Comparison of a desired object with the existing one, and what a change needs. Pure."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepflow.errors import PermanentError
from stepflow.targets.kubernetes.api.kinds import OF_THE_CLUSTER, Object, key, title
from stepflow.targets.kubernetes.manifests.drift import changes, drift
from stepflow.targets.kubernetes.manifests.names import MEANING, OURS
from stepflow.targets.kubernetes.state.snapshot import ClusterState, annotation

SCALED = "Deployment"
"""The kind whose number of replicas is applied separately: an autoscaler may manage it."""
SALT = "label-salt"
"""The secret of the platform's own with which meanings are hashed."""
FOREIGN = "stepflow touches only what carries its label: remove or rename it, or use another `--namespace`"
_HELD = ("immutable", "data", "binaryData")
_FIXED: Mapping[str, tuple[str, ...]] = {
    "ConfigMap": _HELD,
    "PriorityClass": ("value", "preemptionPolicy", "globalDefault"),
    "Secret": ("type", *_HELD),
    "StatefulSet": ("spec.serviceName", "spec.podManagementPolicy", "spec.selector", "spec.volumeClaimTemplates"),
}
"""Fields for which an object is made again: the API, or what started with it, holds on to what they were."""
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Change:
    """What is needed to execute an action on an object."""

    made: Object | None = None  # the object as it is applied
    old: Object | None = None  # what there is in its place
    copies: int | None = None  # of a Deployment: their number is applied by itself
    pods: tuple[Object, ...] = ()  # that are removed, so that others start in their place
    starts: bool = False  # pods, though it is a change in place
    remade: bool = False  # it gets a token, by which the pods that mount it start again: see `mounts`
    deadline: float | None = None  # seconds that a start may take; None: as the stage says
    unstick: bool = False  # delete pods of other versions that are not ready, for which a StatefulSet would wait
    earlier: bool = False  # roll back to the version that was ready last, if this one does not become ready


def stamped(desired: Object, salt: str) -> Object:
    """Return an object with its meaning written on it, without its number of copies.

    With a salt, which is a secret of the platform's, a hash does not give away a secret that could be guessed.
    """
    bare = copy.deepcopy(desired)
    if bare["kind"] == SCALED:
        bare["spec"].pop("replicas", None)
    text = json.dumps(bare, sort_keys=True)
    return annotated(bare, {MEANING: hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]})


def annotated(each: Object, more: dict[str, str]) -> Object:
    """Return an object with more annotations."""
    meta = each["metadata"]
    return {**each, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **more}}}


def compared(desired: Object, seen: ClusterState) -> tuple[Object, Object | None, tuple[str, ...]]:
    """Return an object as it is applied, what there is in its place, and how that differs.

    Raises `PermanentError` for an object of the same name that is not the platform's.
    """
    if key(desired) in seen.foreign:
        raise foreign(desired, unlabelled=key(desired) in seen.unlabelled)
    made = stamped(desired, seen.secrets.get(SALT, ""))
    there = seen.named(desired["kind"], desired["metadata"]["name"])
    return made, there, differing(made, there) if there else ()


def differing(made: Object, there: Object) -> tuple[str, ...]:
    """Return a line for each difference between a stamped object and what there is.

    What others changed is reported as drift; a new desired state, as a change.
    """
    if annotation(made, MEANING) == annotation(there, MEANING):
        return drift(made, there)
    return changes(made, there) or ("its definition changed",)


def foreign(desired: Object, *, unlabelled: bool) -> PermanentError:
    """Return the error for an object of the same name that is another's, or that has lost the platform's label."""
    if unlabelled:
        meta, kind = desired["metadata"], desired["kind"].lower()
        where = f"-n {meta['namespace']} " if "namespace" in meta else ""
        hint = f"`kubectl {where}label {kind} {meta['name']} {OURS}={meta['labels'][OURS]}` puts it back"
        return PermanentError(f"the {title(desired)} in the cluster has lost its label `{OURS}`", hint=hint)
    return PermanentError(f"there is a {title(desired)} in the cluster that is not stepflow's", hint=FOREIGN)


def is_fixed(there: Object, found: Sequence[str]) -> bool:
    """Return whether a difference is in a field for which the object is made again."""
    return any(line.startswith(field) for line in found for field in _FIXED.get(there["kind"], ()))


def leaving(there: Object | None) -> bool:
    """Return whether an object is being deleted: changes to it would be lost."""
    return there is not None and bool(there["metadata"].get("deletionTimestamp"))


def plan_name(each: Object, number: str) -> str:
    """Name an object in a plan: without the platform's id (`number`), which a first plan does not know yet."""
    name = key(each)
    return name.replace(f"-{number}", "") if each["kind"] in OF_THE_CLUSTER else name


def counted(number: int) -> str:
    """Format a number of copies."""
    return "1 copy" if number == 1 else f"{number} copies"
