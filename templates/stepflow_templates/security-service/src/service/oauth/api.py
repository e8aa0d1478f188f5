"""The endpoints of the authorization server."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from chassis.auth import Signer
from service.clients import SCOPES
from service.oauth.errors import NO_STORE, OAuthError
from service.oauth.form import FORM, form, presented
from service.oauth.grants import GRANT, Grants

METHODS = ["client_secret_basic", "client_secret_post"]


class ErrorBody(BaseModel):
    """RFC 6749 §5.2."""

    error: str
    error_description: str


class TokenBody(BaseModel):
    """RFC 6749 §5.1."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class Introspection(BaseModel):
    """RFC 7662 §2.2."""

    active: bool
    token_type: str | None = None
    scope: str | None = None
    client_id: str | None = None
    sub: str | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    exp: int | None = None
    iat: int | None = None
    jti: str | None = None


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request is not acceptable (RFC 6749 §5.2)."},
    401: {"model": ErrorBody, "description": "The client is not authenticated."},
}


def _form(required: str, *others: str) -> dict[str, Any]:
    """A form for OpenAPI; FastAPI itself is not asked to read it, because OAuth has errors of its own."""
    names = (required, *others, "client_id", "client_secret")
    schema = {"type": "object", "required": [required], "properties": {name: {"type": "string"} for name in names}}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


TOKEN_FORM = _form("grant_type", "scope")
CHECK_FORM = _form("token", "token_type_hint")


def router(grants: Grants, signer: Signer) -> APIRouter:
    """Make the routes: token, introspection, revocation and server metadata."""
    routes = APIRouter(tags=["oauth2"])

    @routes.post("/oauth2/token", response_model=TokenBody, responses=ERRORS, openapi_extra=TOKEN_FORM)
    async def token(request: Request) -> JSONResponse:
        """Issue an access token to a confidential client."""
        fields = await form(request)
        client = await grants.client(presented(request, fields), _address(request))
        given = await grants.token(client, fields, _address(request))
        body = {"access_token": given.access_token, "expires_in": given.expires_in, "scope": given.scope}
        return JSONResponse({"token_type": "Bearer", **body}, headers=NO_STORE)

    @routes.post("/oauth2/introspect", response_model=Introspection, responses=ERRORS, openapi_extra=CHECK_FORM)
    async def introspect(request: Request) -> JSONResponse:
        """Return whether a token is valid, and what is in it."""
        fields = await form(request)
        await grants.client(presented(request, fields), _address(request))
        return JSONResponse(await grants.introspect(_token(fields)), headers=NO_STORE)

    @routes.post("/oauth2/revoke", response_class=Response, responses=ERRORS, openapi_extra=CHECK_FORM)
    async def revoke(request: Request) -> Response:
        """End a token; 200 also for one that is unknown."""
        fields = await form(request)
        client = await grants.client(presented(request, fields), _address(request))
        await grants.revoke(client, _token(fields), _address(request))
        return Response(headers=NO_STORE)

    @routes.get("/oauth2/jwks.json")
    async def jwks() -> dict[str, Any]:
        """The public keys that tokens are checked with (RFC 7517)."""
        return signer.jwks()

    @routes.get("/.well-known/oauth-authorization-server")
    async def metadata() -> dict[str, Any]:
        """What this server can do (RFC 8414)."""
        return _metadata(signer.issuer)

    return routes


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth2/token",
        "token_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": METHODS,
        "jwks_uri": f"{issuer}/oauth2/jwks.json",
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
        "scopes_supported": list(SCOPES),
    }


def _token(fields: dict[str, str]) -> str:
    if "token" not in fields:
        raise OAuthError("invalid_request", "`token` is missing")
    return fields["token"]


def _address(request: Request) -> str:
    """Where the client is, as the gateway saw it."""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return forwarded or (request.client.host if request.client else "unknown")
