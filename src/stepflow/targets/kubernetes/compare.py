"""What an object means, and whether the cluster still has it so. Pure."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Sequence

from stepflow.targets.kubernetes.drift import drift
from stepflow.targets.kubernetes.kinds import Object, key
from stepflow.targets.kubernetes.manifests.names import MEANING, OBJECTS
from stepflow.targets.kubernetes.sight import annotation

SCALED = "Deployment"
"""The kind whose number of copies is applied by itself: an autoscaler may have taken it over."""
_DIGITS = 16


def marked(objects: Sequence[Object], also: Sequence[str] = ()) -> tuple[Object, ...]:
    """Write down on the last object which others it goes with, and what else (`also`) it cannot do without."""
    if not objects:
        return ()
    *others, last = objects
    names = sorted({*map(key, others), *also})
    return (*others, annotated(last, {OBJECTS: json.dumps(names)}))


def goes_with(last: Object) -> tuple[str, ...]:
    """Read what `marked` wrote; what another version of stepflow did not write is nothing."""
    return tuple(json.loads(annotation(last, OBJECTS) or "[]"))


def stamped(wanted: Object, salt: str) -> Object:
    """Write an object's meaning on it, without its number of copies.

    With a salt, which is a secret of the platform's, a hash tells nobody what a secret is that could be guessed.
    """
    bare = copy.deepcopy(wanted)
    if bare["kind"] == SCALED:
        bare["spec"].pop("replicas", None)
    text = json.dumps(bare, sort_keys=True)
    return annotated(bare, {MEANING: hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]})


def annotated(each: Object, more: dict[str, str]) -> Object:
    """Give an object with more annotations."""
    meta = each["metadata"]
    return {**each, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **more}}}


def same(wanted: Object, there: Object) -> bool:
    """Tell whether the cluster has an object as it was stamped, and nobody changed any of it since."""
    if annotation(wanted, MEANING) != annotation(there, MEANING):
        return False
    if there["metadata"].get("deletionTimestamp"):
        return False
    return not drift(wanted, there)
