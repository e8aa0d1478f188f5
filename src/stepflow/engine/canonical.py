"""One text for one meaning: values as canonical JSON, and digests of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from pydantic import BaseModel

_ALWAYS: Mapping[str, str] = {
    "ConfigFile": "name",
    "Credential": "kind identity secret",
    "DataDir": "name",
    "Endpoint": "workload port part path",
    "HttpProbe": "path port interval timeout deadline",
    "Job": "name command env timeout retries",
    "Port": "name number env published",
    "Production": "workloads servers scaled at_least at_most cpu_target automatic",
    "SecretFile": "name given",
    "Server": "kind database",
    "ServerFile": "kind database",
    "Workload": "name command ready live context ports env configs data replicas needs stop_grace migrate",
}
"""Dataclass -> the fields that digests have held since the first version, whatever their value. A field that is not
listed counts only where it differs from its default: adding one changes no digest that was recorded. Never edited."""
_ESCAPES = str.maketrans({"\\": "\\\\", ".": "\\."})


def plain(value: object) -> Any:  # noqa: ANN401 - JSON has no better name
    """Return a value as JSON types. A dataclass keeps its type's name: a `SecretFile` is not the `ConfigFile` of that
    name.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        told = {each.name: getattr(value, each.name) for each in fields(value) if _counts(kind, each, value)}
        return {"type": kind} | {name: plain(inner) for name, inner in told.items()}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(plain, value))
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def canonical(value: object) -> str:
    """Return a value as JSON with sorted keys and no spaces."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: object) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Return the leaves of a value by dotted path, each as JSON: `endpoint.port` -> `"http"`.

    A dot in a key is escaped, so that `{"a.b": 1}` and `{"a": {"b": 1}}` differ.
    """
    inner = plain(value)
    if isinstance(inner, dict):
        escaped = ((str(key).translate(_ESCAPES), each) for key, each in inner.items())
        pairs = [flat(each, f"{prefix}.{key}" if prefix else key) for key, each in escaped]
        return {path: leaf for found in pairs for path, leaf in found.items()}
    return {prefix: canonical(inner)}


def unescaped(path: str) -> str:
    r"""Return a path as it was written before dots were escaped: `values.image\.tag` -> `values.image.tag`."""
    return re.sub(r"\\(.)", r"\1", path)


def _counts(kind: str, each: Field[Any], value: object) -> bool:
    if each.name in _ALWAYS.get(kind, "").split():
        return True
    default = each.default_factory() if each.default_factory is not MISSING else each.default
    return bool(getattr(value, each.name) != default)
