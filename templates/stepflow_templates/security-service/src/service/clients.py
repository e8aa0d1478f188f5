"""Machine clients: how their secrets are kept, and which scopes they may have. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

SCOPES = ("orders:read", "orders:write", "users:read", "notifications:write", "reports:read", "telemetry:read")
"""All scopes of the platform."""
_COST = {"n": 2**14, "r": 8, "p": 1}  # 16 MiB, about 30 ms


@dataclass(frozen=True, slots=True)
class Client:
    """A confidential client."""

    client_id: str
    secret_hash: str
    scopes: frozenset[str]
    disabled: bool = False


def hashed(secret: str) -> str:
    """A salted scrypt hash (RFC 7914) as text."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(secret.encode(), salt=salt, dklen=32, **_COST)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


UNKNOWN = hashed(secrets.token_urlsafe())
"""Compared for unknown clients, so that the check takes as long."""


def is_secret(secret: str, stored: str) -> bool:
    """Return whether a secret matches its hash."""
    _kind, salt, digest = stored.split("$")
    given = hashlib.scrypt(secret.encode(), salt=base64.b64decode(salt), dklen=32, **_COST)
    return hmac.compare_digest(given, base64.b64decode(digest))
