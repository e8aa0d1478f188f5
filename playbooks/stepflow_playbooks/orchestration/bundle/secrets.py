"""Which Secrets a cluster must hold before the bundle is applied. Their names and shapes only: never a value."""

from __future__ import annotations

from dataclasses import dataclass

from stepflow.handoff import SecretFile, ServerFile

from .model import Platform
from .names import secret_key, secret_name
from .references import files
from .servers import CLIENT_PORT, own_secrets

PASSWORD = "PASSWORD"  # noqa: S105 - a placeholder
"""Stands in a shape where the password goes."""
_AUTH = {
    "nats": f'authorization {{ user: "stepflow", password: "{PASSWORD}" }}\n',
    "valkey": f"requirepass {PASSWORD}\n",
}


@dataclass(frozen=True, slots=True, order=True)
class RequiredSecret:
    """One key of one Secret, what it has to look like, and whose password it holds."""

    secret: str
    key: str
    shape: str  # the text, with the word PASSWORD in it
    password: str  # secrets with the same word here hold the same password
    given: bool = False  # only a person knows it: the script asks for it


def required_secrets(platform: Platform) -> tuple[RequiredSecret, ...]:
    """Give all of them in order, each once."""
    found: set[RequiredSecret] = set()
    for workload in platform.workloads:
        found |= {_of(reference) for reference in files(workload)}
    for kind in platform.server_kinds():
        for name, key in own_secrets(platform, kind):
            found.add(RequiredSecret(name, key, _AUTH.get(kind, PASSWORD), name if kind == "postgres" else kind))
    return tuple(sorted(found))


def _of(reference: SecretFile | ServerFile) -> RequiredSecret:
    name, key = secret_name(reference), secret_key(reference)
    if isinstance(reference, SecretFile):
        return RequiredSecret(name, key, PASSWORD, name, reference.given)
    address = f"{reference.kind}:{CLIENT_PORT[reference.kind]}"
    if reference.kind == "postgres":
        role, password = reference.database or "postgres", f"postgres-{reference.database}-role"
        if not reference.database:
            password = "postgres-superuser"  # noqa: S105 - the name of a secret
        return RequiredSecret(name, key, f"postgresql://{role}:{PASSWORD}@{address}/{role}", password)
    shape = f"nats://stepflow:{PASSWORD}@{address}" if reference.kind == "nats" else f"redis://:{PASSWORD}@{address}/0"
    return RequiredSecret(name, key, shape, reference.kind)
