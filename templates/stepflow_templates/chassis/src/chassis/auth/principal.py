"""The caller of a request, as FastAPI dependencies (RFC 6750 on the wire)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from chassis.auth.tokens import InvalidTokenError
from chassis.problem import Problem

bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", scheme_name="accessToken")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: a user (`subject` is the user id) or a machine client (`subject` is the client id)."""

    subject: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    client_id: str = ""
    issuer: str = ""
    test: bool = False
    """A test account: what it does is marked, and left out of everything that counts."""

    @property
    def is_user(self) -> bool:
        """Return whether this is a person, not a machine client: users have roles."""
        return "user" in self.roles or "admin" in self.roles

    @property
    def is_admin(self) -> bool:
        """Return whether this is an administrator."""
        return "admin" in self.roles

    @classmethod
    def of_claims(cls, claims: dict[str, Any]) -> Principal:
        """Read a verified token's claims."""
        roles = claims.get("roles")
        scope = claims.get("scope")
        return cls(
            subject=claims["sub"],
            roles=frozenset(str(role) for role in roles) if isinstance(roles, list) else frozenset(),
            scopes=frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
            client_id=str(claims.get("client_id", "")),
            issuer=str(claims.get("iss", "")),
            test=claims.get("test") is True,
        )


async def optional_principal(request: Request, credentials: Credentials) -> Principal | None:
    """Return the caller, None without a token. A token that is sent must be valid: an invalid one is always 401."""
    if credentials is None:
        if "authorization" in request.headers:
            raise unauthorized("only the scheme `Bearer` is accepted", error="invalid_request")
        return None
    try:
        claims = request.app.state.service.tokens.verify(credentials.credentials)
    except InvalidTokenError as error:
        raise unauthorized(str(error), error="invalid_token") from error
    return Principal.of_claims(claims)


async def authenticated(caller: Annotated[Principal | None, Depends(optional_principal)]) -> Principal:
    """Return the caller, or answer 401."""
    if caller is None:
        raise unauthorized("Send an access token: `Authorization: Bearer …`.")
    return caller


Caller = Annotated[Principal, Depends(authenticated)]


def require_role(role: str) -> Callable[[Principal], Awaitable[Principal]]:
    """Make a dependency that returns the caller if it has the role, else answers 403."""

    async def check(caller: Caller) -> Principal:
        if role not in caller.roles:
            raise Problem(403, detail=f"This needs the role `{role}`.")
        return caller

    return check


def require_scope(scope: str) -> Callable[[Principal], Awaitable[Principal]]:
    """Make a dependency that lets users pass, and clients whose token has the scope; others get 403."""

    async def check(caller: Caller) -> Principal:
        if not caller.is_user and scope not in caller.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise Problem(403, detail=f"This needs the scope `{scope}`.", headers={"WWW-Authenticate": challenge})
        return caller

    return check


def unauthorized(detail: str, *, error: str = "") -> Problem:
    """Make the 401 that RFC 6750 §3 describes; without `error` where no token was sent."""
    challenge = f'Bearer error="{error}", error_description="{detail}"' if error else "Bearer"
    return Problem(401, detail=detail, headers={"WWW-Authenticate": challenge})
