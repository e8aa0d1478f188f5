"""Which Secrets a platform needs: their names and shapes only, never a value. The values come in at the last moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepflow.handoff import SecretFile, ServerFile
from stepflow.targets.addresses import CLIENT_PORTS, server_secret, server_url
from stepflow.targets.databases import service_file
from stepflow.targets.resolved import Resolved
from stepflow.workload import Server

from . import nats, postgres, valkey
from .container import secret_files
from .foundation import SHARED
from .model import Object, Release
from .names import metadata, secret_key, secret_name
from .servers import brought

PASSWORD = "PASSWORD"  # noqa: S105 - a placeholder
"""Stands in a shape where the password goes."""


@dataclass(frozen=True, slots=True, order=True)
class RequiredSecret:
    """One key of one Secret, what it has to look like, and the name of the platform's secret that it holds."""

    secret: str
    key: str
    shape: str  # the text, with the word PASSWORD in it
    password: str  # what `stepflow.targets.secretfiles` calls it
    given: bool = False  # only a person knows it


def required_secrets(
    release: Release, workloads: Iterable[Resolved], servers: Iterable[Server]
) -> tuple[RequiredSecret, ...]:
    """Return what workloads and servers need, in order, each once; the user makes those of his own servers himself."""
    found: set[RequiredSecret] = set()
    for resolved in workloads:
        found |= {_mounted(release, each) for each in secret_files(release, resolved) if _ours(release, each)}
    for server in brought(release, servers):
        found |= set(_of_server(server))
    return tuple(sorted(found))


def secret_objects(release: Release, required: Iterable[RequiredSecret], text_of: Callable[[str], str]) -> list[Object]:
    """Return the Secrets with their values; `text_of` gives a secret of the platform by its name."""
    texts: dict[str, dict[str, str]] = {}
    for each in sorted(required):
        text = each.shape.replace(PASSWORD, text_of(each.password))
        texts.setdefault(each.secret, {})[each.key] = text
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(release, SHARED, name),
            "type": "Opaque",
            "stringData": keys,
        }
        for name, keys in texts.items()
    ]


def _ours(release: Release, reference: SecretFile | ServerFile) -> bool:
    return isinstance(reference, SecretFile) or release.external(reference.kind, reference.database) is None


def _mounted(release: Release, reference: SecretFile | ServerFile) -> RequiredSecret:
    name, key = secret_name(release, reference), secret_key(release, reference)
    if isinstance(reference, SecretFile):
        return RequiredSecret(name, key, PASSWORD, reference.name, reference.given)
    url = server_url(reference, reference.kind, CLIENT_PORTS[reference.kind])
    return RequiredSecret(name, key, f"{url.before}{PASSWORD}{url.after}", url.secret)


def _of_server(server: Server) -> Iterable[RequiredSecret]:
    """Return what the server itself, and the Job that makes its database, read."""
    password = server_secret(ServerFile(server.kind))
    match server.kind:
        case "nats":
            yield RequiredSecret(nats.AUTH, nats.AUTH_FILE, nats.auth_shape(PASSWORD), password)
        case "valkey":
            yield RequiredSecret(valkey.AUTH, valkey.AUTH_FILE, valkey.auth_shape(PASSWORD), password)
            yield RequiredSecret(valkey.AUTH, valkey.PING_FILE, valkey.ping_shape(PASSWORD), password)
        case "postgres":
            yield RequiredSecret(postgres.ADMIN, postgres.PASSWORD_FILE, PASSWORD, password)
            yield RequiredSecret(postgres.ADMIN, postgres.SERVICE_FILE, PASSWORD.join(service_file()), password)
            if server.database:
                secret = postgres.role_secret(server.database)
                yield RequiredSecret(
                    secret, postgres.PASSWORD_FILE, PASSWORD, server_secret(ServerFile(server.kind, server.database))
                )
