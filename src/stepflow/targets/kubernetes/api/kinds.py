"""Objects of a cluster as plain JSON, and where the API has them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

Object = dict[str, Any]
"""One object as the API takes and gives it: `apiVersion`, `kind`, `metadata` and the rest."""

Objects = list[Object]
OF_THE_CLUSTER = frozenset(
    {"APIService", "IngressClass", "Namespace", "Node", "PersistentVolume", "PriorityClass", "RuntimeClass"}
    | {"SelfSubjectAccessReview", "SelfSubjectReview", "StorageClass"}
)
"""Kinds that are in no namespace."""


def path(api_version: str, kind: str, name: str = "", namespace: str = "") -> str:
    """Return the path of an object, or (without a name) of all of a kind; without a namespace, in all of them."""
    root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace and kind not in OF_THE_CLUSTER else ""
    last = f"/{quote(name, safe='')}" if name else ""
    return f"{root}{within}/{plural(kind)}{last}"


def path_of(each: Object, *, named: bool = True) -> str:
    """Return the path of an object, or where such as it are made."""
    meta = each.get("metadata", {})
    return path(each["apiVersion"], each["kind"], meta["name"] if named else "", meta.get("namespace", ""))


def plural(kind: str) -> str:
    """Name a kind as its path does: `networkpolicies`, `ingresses`, `gateways`."""
    low = kind.lower()
    if low.endswith(("s", "x", "ch")):
        return f"{low}es"
    return f"{low[:-1]}ies" if re.search(r"[^aeiou]y$", low) else f"{low}s"


def title(each: Object) -> str:
    """Name an object for people: "Service `orders`"."""
    return f"{each['kind']} `{each['metadata']['name']}`"


def key(each: Object) -> str:
    """Name an object among all of a platform: `Service/orders`; a kind has one API group here."""
    return f"{each['kind']}/{each['metadata']['name']}"
