"""The environment of a container. Checks of clusters take a variable for a secret by its name, whatever its value is;
ours hold the path of one, or how long a token lives. Those are read from an annotation of the pod, which says the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .model import Object
from .slot import replaced

_TOLD = "stepflow.dev/env."
_SUSPICIOUS = re.compile(r"password|token|secret|bearer", re.IGNORECASE)
_LONGEST = 63 - len("env.")  # of what can be in an annotation's name


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables of a container, and the annotations of its pod that some of them show."""

    variables: tuple[Object, ...]
    annotations: tuple[tuple[str, str], ...]


def environment(plain: Mapping[str, str], fields: Mapping[str, str]) -> Environment:
    """Return variables with their values, and others that show fields of the pod (variable -> path)."""
    shown = {name: plain[name] for name in sorted(plain) if _SUSPICIOUS.search(name) and len(name) <= _LONGEST}
    names = sorted(plain.keys() - shown.keys())
    variables: list[Object] = [{"name": name, "value": literal(plain[name])} for name in names]
    paths = {**fields, **{name: f"metadata.annotations['{_TOLD}{name}']" for name in shown}}
    variables += [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in paths.items()
    ]
    return Environment(tuple(variables), tuple((f"{_TOLD}{name}", value) for name, value in shown.items()))


def literal(text: str) -> str:
    """Write a text of a command or a variable so that it stays as it is: Kubernetes takes `$(NAME)` for a variable."""
    return replaced(text, "$", "$$")
