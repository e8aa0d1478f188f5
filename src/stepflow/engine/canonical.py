"""One text for one meaning: values as canonical JSON, and digests of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel


def plain(value: object) -> Any:  # noqa: ANN401 - JSON has no better name
    """Give a value as JSON types. A dataclass keeps its type's name: a `SecretFile` is no `ConfigFile` of that name."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(plain, value))
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def canonical(value: object) -> str:
    """Give a value as JSON with sorted keys and no spaces."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: object) -> str:
    """Give the first 32 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Give the leaves of a value by dotted path, each as JSON: `endpoint.port` -> `"http"`."""
    inner = plain(value)
    if isinstance(inner, dict):
        pairs = [flat(each, f"{prefix}.{key}" if prefix else key) for key, each in inner.items()]
        return {path: leaf for found in pairs for path, leaf in found.items()}
    return {prefix: canonical(inner)}
