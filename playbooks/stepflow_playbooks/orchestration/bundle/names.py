"""Names and labels: what objects are called, and how they find each other."""

from __future__ import annotations

import re

from stepflow.handoff import SecretFile, ServerFile

from .model import Object, Platform

SECRETS = "/run/secrets/stepflow"
CONFIGS = "/etc/stepflow"
DATA = "/var/lib/stepflow"


def dns_label(text: str) -> str:
    """Make an RFC 1123 label of a name: lower case, other characters than letters and digits as `-`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63]


def secret_name(reference: SecretFile | ServerFile) -> str:
    """Name the Secret that a reference is mounted from."""
    if isinstance(reference, SecretFile):
        return dns_label(f"secret-{reference.name}")
    return dns_label(f"{reference.kind}-{reference.database}-url" if reference.database else f"{reference.kind}-url")


def secret_key(reference: SecretFile | ServerFile) -> str:
    """Name the key inside that Secret."""
    return "value" if isinstance(reference, SecretFile) else "url"


def secret_path(reference: SecretFile | ServerFile) -> str:
    """Give the path of the mounted file."""
    return f"{SECRETS}/{secret_name(reference)}/{secret_key(reference)}"


def selector(component: str) -> Object:
    """Give the labels that pick the pods of one component; never changed once applied."""
    return {"app.kubernetes.io/name": component}


def labels(platform: Platform, component: str, *, part: str = "service") -> Object:
    """Give the recommended labels of an object."""
    return selector(component) | {
        "app.kubernetes.io/instance": platform.namespace,
        "app.kubernetes.io/part-of": dns_label(platform.name),
        "app.kubernetes.io/component": part,
        "app.kubernetes.io/managed-by": "stepflow",
    }


def metadata(platform: Platform, name: str, component: str = "", *, part: str = "service") -> Object:
    """Give the metadata of a namespaced object."""
    return {
        "name": name,
        "namespace": platform.namespace,
        "labels": labels(platform, component or name, part=part),
    }
