"""Who may have which token: client authentication, the client credentials grant, introspection, revocation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chassis.auth import InvalidTokenError, Signer, TokenVerifier
from chassis.ids import uuid7
from service.clients import UNKNOWN, Client, is_secret
from service.counters import Counters
from service.oauth.errors import OAuthError, invalid_client
from service.oauth.form import Presented
from service.storage import Storage

GRANT = "client_credentials"


@dataclass(frozen=True, slots=True)
class Token:
    """An issued token."""

    access_token: str
    expires_in: int
    scope: str


class Grants:
    """The grants. Everything issued or denied is in the audit log."""

    def __init__(
        self, storage: Storage, signer: Signer, verifier: TokenVerifier, counters: Counters, *, lifetime: int
    ) -> None:
        self._storage = storage
        self._signer = signer
        self._verifier = verifier
        self._counters = counters
        self._lifetime = lifetime

    async def client(self, presented: Presented, address: str) -> Client:
        """Authenticate a client. An unknown one takes as long as a wrong secret."""
        found = await self._storage.client(presented.client_id)
        right = await asyncio.to_thread(is_secret, presented.secret, found.secret_hash if found else UNKNOWN)
        if found is None or not right or found.disabled:
            await self._storage.denied(presented.client_id[:64], address, "invalid_client")
            raise invalid_client(challenge=presented.basic)
        return found

    async def token(self, client: Client, fields: dict[str, str], address: str) -> Token:
        """Return a token for the client itself, with the scopes it asks for, or all of its own when it names none."""
        try:
            scope = _scope(client, fields)
        except OAuthError as error:
            await self._storage.denied(client.client_id, address, error.error)
            raise
        jti = str(uuid7())
        claims = {"sub": client.client_id, "client_id": client.client_id, "scope": scope, "jti": jti, "roles": []}
        token = self._signer.sign(claims, self._lifetime)
        await self._storage.issued(jti, client.client_id, scope, self._lifetime, address)
        return Token(token, self._lifetime, scope)

    async def introspect(self, token: str) -> dict[str, Any]:
        """Return a token's claims if it is valid (RFC 7662); revocation is not known for another issuer's token."""
        claims = self._claims(token)
        if claims is None:
            return {"active": False}
        if claims["iss"] == self._signer.issuer and await self._storage.is_revoked(claims["jti"]):
            return {"active": False}
        names = ("scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti")
        return {"active": True, "token_type": "Bearer"} | {name: claims[name] for name in names if name in claims}

    async def revoke(self, client: Client, token: str, address: str) -> None:
        """Revoke the client's own token (RFC 7009); an unknown one or another client's changes nothing."""
        claims = self._claims(token)
        if claims is None or claims["iss"] != self._signer.issuer:
            return
        expires = await self._storage.revoke(claims["jti"], client.client_id, address)
        if expires is not None:
            await self._counters.revoke(claims["jti"], int((expires - datetime.now(UTC)).total_seconds()) + 60)

    def _claims(self, token: str) -> dict[str, Any] | None:
        try:
            return self._verifier.verify(token)
        except InvalidTokenError:
            return None


def _scope(client: Client, fields: dict[str, str]) -> str:
    grant = fields.get("grant_type")
    if grant is None:
        raise OAuthError("invalid_request", "`grant_type` is missing")
    if grant != GRANT:
        raise OAuthError("unsupported_grant_type", f"only `{GRANT}` is supported")
    if "scope" not in fields:
        return " ".join(sorted(client.scopes))
    wanted = set(fields["scope"].split())
    if not wanted or not wanted <= client.scopes:
        raise OAuthError("invalid_scope", "the client may not have all of these scopes")
    return " ".join(sorted(wanted))
