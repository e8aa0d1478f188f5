"""Names and labels: what objects are called, and how they find each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from stepflow.errors import PermanentError
from stepflow.handoff import SecretFile, ServerFile
from stepflow.targets.addresses import server_secret
from stepflow.workload import PRODUCTION, Workload

from .model import Component, Object, Release

OURS = "stepflow.dev/platform"
"""Label: the id of the platform that an object belongs to."""
OWNER = "stepflow.dev/owner"
"""Label: the workload, server, `database-…`, `production` or `platform` that an object is made for and goes with."""
PART_OF = "app.kubernetes.io/part-of"
"""Label: the namespace of the platform that an object was made for."""
FLOWS = "stepflow.dev/flows"
"""Label of pods: the component whose network policies they share."""
ROLE = "stepflow.dev/role-"
"""Begins labels of pods that conventions of the platform pick."""
USES = "stepflow.dev/uses-"
"""Begins labels of pods that may reach a server."""
DIGEST = "stepflow.dev/digest"
"""Annotation of a workload's controller and pods: the digest of what it is made from."""
MEANING = "stepflow.dev/meaning"
"""Annotation: a hash of all that we want of an object."""
REMADE = "stepflow.dev/remade"
"""Annotation of a Secret or ConfigMap that was made again while pods mounted it: a token."""
MOUNTS = "stepflow.dev/mounts"
"""Annotation of pods: `Secret/name=token` for each that they mount and that was made again before they started."""
OBJECTS = "stepflow.dev/objects"
"""Annotation of an owner's last object: JSON list of the others that it goes with, as `kinds.key` names them."""
REPLICAS = "stepflow.dev/replicas"
"""Annotation of a workload's controller: the number of copies that was declared."""
PLATFORM = "platform"
"""The owner of what all share."""
DENIAL = "default-deny"
"""The NetworkPolicy that allows nothing."""
YES = "true"
HOST = "stepflow.local"
"""Registry, by name, of images that only nodes have: there is none, so that a node never gets another image by it."""

SECRETS = "/run/secrets/stepflow"
CONFIGS = "/etc/stepflow"
DATA = "/var/lib/stepflow"

_WORKLOAD = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")
_PORT = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_TAKEN = ("nats", "postgres", "valkey", PLATFORM, PRODUCTION, "default", DENIAL)
_ENDS = "-pods"  # of the Service that names the pods of a StatefulSet
_LONGEST_LABEL = 63
_LONGEST_PORT = 15


def dns_label(text: str) -> str:
    """Make an RFC 1123 label of a name; what had to be changed for it ends in a hash of what it was."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if label == text and len(label) <= _LONGEST_LABEL:
        return label
    return hashed(label, text)


def hashed(name: str, *texts: str) -> str:
    """Return a label that begins with a name and ends in a hash of texts."""
    end = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_LABEL - 9].strip('-') or 'x'}-{end}"


def database_owner(database: str) -> str:
    """Name the owner of what makes a database, as a label's value."""
    return f"database-{database}"


def require_names(workload: Workload) -> None:
    """Raise `PermanentError` for a workload or a port whose name Kubernetes would not take."""
    name = workload.name
    taken = name in _TAKEN or name.startswith(database_owner("")) or name.endswith(_ENDS)
    if taken or not _WORKLOAD.fullmatch(name):
        raise PermanentError(
            f"`{name}` cannot be a workload's name on Kubernetes",
            hint="use up to 50 lower-case letters, digits and `-`, begin with a letter; "
            f"not {', '.join(f'`{name}`' for name in _TAKEN)} `database-…` or `…{_ENDS}`",
        )
    for port in workload.ports:
        if len(port.name) > _LONGEST_PORT or not _PORT.fullmatch(port.name):
            raise PermanentError(
                f"`{workload.name}` calls a port `{port.name}`, which Kubernetes does not take",
                hint=f"use up to {_LONGEST_PORT} lower-case letters, digits and `-`, one letter at least",
            )


def headless_name(component: Component) -> str:
    """Name the Service that names each pod of a component."""
    return f"{component.name}{_ENDS}"


def secret_name(release: Release, reference: SecretFile | ServerFile) -> str:
    """Name the Secret that a reference is mounted from."""
    if isinstance(reference, SecretFile):
        return dns_label(f"secret-{reference.name}")
    theirs = release.external(reference.kind, reference.database)
    return theirs.secret if theirs else dns_label(f"{server_secret(reference)}-url".replace("_", "-"))


def secret_key(release: Release, reference: SecretFile | ServerFile) -> str:
    """Name the key inside that Secret."""
    if isinstance(reference, SecretFile):
        return "value"
    theirs = release.external(reference.kind, reference.database)
    return theirs.key if theirs else "url"


def secret_path(release: Release, reference: SecretFile | ServerFile) -> str:
    """Return the path of the mounted file."""
    return f"{SECRETS}/{secret_name(release, reference)}/{secret_key(release, reference)}"


def selector(component: Component) -> Object:
    """Return the labels that pick the pods of a component for its Service and controller; they never change."""
    return {"app.kubernetes.io/name": component.name}


def labels(release: Release, component: Component) -> Object:
    """Return the recommended labels of an object, and whose it is."""
    ours = {OURS: release.id} if release.id else {}
    return {
        **selector(component),
        "app.kubernetes.io/instance": component.instance or component.name,
        PART_OF: release.namespace,
        "app.kubernetes.io/component": component.part,
        "app.kubernetes.io/managed-by": "stepflow",
        **ours,
        OWNER: component.whose,
    }


def pod_labels(release: Release, component: Component, roles: Iterable[str] = ()) -> Object:
    """Return the labels of a component's pods: also those that network policies pick."""
    flows = {FLOWS: component.flows or component.name}
    return labels(release, component) | flows | dict.fromkeys(sorted(roles), YES)


def metadata(release: Release, component: Component, name: str = "") -> Object:
    """Return the metadata of a namespaced object, by default called like its component."""
    return {
        "name": name or component.name,
        "namespace": release.namespace,
        "labels": labels(release, component),
    }
