"""What a client sends: a form, and who it is (client_secret_basic or client_secret_post, RFC 6749 §2.3.1)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request

from service.oauth.errors import OAuthError, invalid_client

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Presented:
    """A client id with its secret; `basic` when sent in the Authorization header."""

    client_id: str
    secret: str
    basic: bool


async def form(request: Request) -> dict[str, str]:
    """Read the form; repeated and empty parameters are treated as §3.2 requires."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise OAuthError("invalid_request", f"the body must be {FORM}")
    try:
        pairs = parse_qsl((await request.body()).decode(), strict_parsing=True, max_num_fields=50)
    except ValueError as error:
        raise OAuthError("invalid_request", "the body is not a form") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "a parameter comes more than once")
    return fields


def presented(request: Request, fields: dict[str, str]) -> Presented:
    """Return the presented credentials. Raises `OAuthError` without any, and for two methods at once (§2.3)."""
    header = request.headers.get("authorization")
    if header is None:
        if "client_id" not in fields or "client_secret" not in fields:
            raise invalid_client(challenge=True)
        return Presented(fields["client_id"], fields["client_secret"], basic=False)
    if "client_secret" in fields:
        raise OAuthError("invalid_request", "authenticate the client in one way, not in two")
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid_client(challenge=True) from error
    if scheme.lower() != "basic" or not colon:
        raise invalid_client(challenge=True)
    return Presented(unquote_plus(name), unquote_plus(secret), basic=True)
