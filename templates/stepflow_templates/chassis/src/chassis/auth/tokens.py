"""Access tokens (JWT, RFC 9068) checked against the issuers that `config/issuers.*` currently names."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis.config import LiveConfig

ALGORITHMS = ("RS256", "ES256")
AUDIENCE = "platform"
LEEWAY = 10  # seconds that clocks may differ
TYPES = frozenset({"at+jwt", "application/at+jwt"})


class InvalidTokenError(Exception):
    """The token is not acceptable; the message says why, without the token in it."""


class TokenVerifier:
    """Checks tokens. Follows key rotation, because it looks at the live configuration each time."""

    def __init__(self, config: LiveConfig) -> None:
        self._config = config
        self._keys: dict[str, tuple[dict[str, Any], KeySet]] = {}

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token; raises `InvalidTokenError`."""
        try:
            unverified = jws.extract_compact(token.encode()).headers()
            issuer = self._issuer(_peek(token))
            decoded = jwt.decode(token, self._key_set(issuer), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise InvalidTokenError("the token is malformed or its signature is wrong") from error
        if str(unverified.get("typ", "")).lower() not in TYPES:
            raise InvalidTokenError("the token is not an access token (typ at+jwt)")
        _check(decoded.claims, issuer)
        return decoded.claims

    def _issuer(self, claims: dict[str, Any]) -> dict[str, Any]:
        for issuer in self._config.under("issuers.").values():
            if isinstance(issuer, dict) and issuer.get("issuer") == claims.get("iss"):
                return issuer
        raise InvalidTokenError("the token's issuer is not known")

    def _key_set(self, issuer: dict[str, Any]) -> KeySet:
        name, jwks = issuer["issuer"], issuer["jwks"]
        known = self._keys.get(name)
        if known is None or known[0] != jwks:
            known = self._keys[name] = (jwks, KeySet.import_key_set(jwks))
        return known[1]


def _peek(token: str) -> dict[str, Any]:
    """Read the claims before the signature is checked, only to find the issuer."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if not isinstance(claims, dict):
        raise InvalidTokenError("the token's claims are not a JSON object")
    return claims


def _check(claims: dict[str, Any], issuer: dict[str, Any]) -> None:
    """Check the registered claims: `exp`, `nbf`, `aud`, `sub`."""
    now = time.time()
    expires, not_before = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or expires + LEEWAY < now:
        raise InvalidTokenError("the token has expired")
    if not isinstance(not_before, int | float) or not_before - LEEWAY > now:
        raise InvalidTokenError("the token is not valid yet")
    audience = claims.get("aud")
    if issuer.get("audience", AUDIENCE) not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidTokenError("the token is for another audience")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise InvalidTokenError("the token has no subject")
