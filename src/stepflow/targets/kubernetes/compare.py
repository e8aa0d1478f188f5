"""What an object means, and whether the cluster still has it so. Pure."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Sequence

from stepflow.targets.kubernetes.kinds import Object, key
from stepflow.targets.kubernetes.sight import annotation

MEANING = "stepflow.dev/meaning"
"""Annotation: a hash of all that we want of an object."""
OBJECTS = "stepflow.dev/objects"
"""Annotation of an owner's last object: JSON list of the others that it goes with, as `kinds.key` names them."""
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
    left = dict(wanted)
    texts = left.pop("stringData", None)
    if texts is not None:  # which the cluster keeps in another form
        left["data"] = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    return _within(left, there)


def _within(wanted: object, there: object) -> bool:
    """Tell whether all that is wanted is there; what the cluster added is its own matter."""
    if isinstance(wanted, dict):
        held = there if isinstance(there, dict) else {}
        return all(_within(value, held.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(there, list) or len(wanted) != len(there):
            return not wanted and not there
        return all(map(_within, wanted, there))
    return wanted == there or (not wanted and there is None)
