"""`/api/auth`: sign in, stay signed in, sign out, and the keys that verify tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from chassis.problem import PROBLEMS, declared
from service.parts import TheParts
from service.schemas import Credentials, RefreshToken, Tokens

router = APIRouter(prefix="/api/auth", tags=["sign-in"])
Agent = Annotated[str, Header(alias="User-Agent", include_in_schema=False)]


@router.post("/login", responses={401: PROBLEMS[401], 429: declared("Too many failed sign-ins.")})
async def login(parts: TheParts, body: Credentials, response: Response, user_agent: Agent = "") -> Tokens:
    """Sign in with address and password."""
    response.headers["Cache-Control"] = "no-store"
    return await parts.sign_in.with_password(body.email, body.password, user_agent)


@router.post("/refresh", responses={401: PROBLEMS[401]})
async def refresh(parts: TheParts, body: RefreshToken, response: Response) -> Tokens:
    """Get new tokens. A refresh token works once; using it again ends the session."""
    response.headers["Cache-Control"] = "no-store"
    return await parts.sign_in.with_refresh_token(body.refresh_token)


@router.post("/logout", status_code=204)
async def logout(parts: TheParts, body: RefreshToken) -> None:
    """Sign out: the refresh token works no more. The same answer for an unknown one."""
    await parts.sessions.close(body.refresh_token)


@router.get("/jwks.json")
async def jwks(parts: TheParts, response: Response) -> dict[str, Any]:
    """Return the public keys of our tokens (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return parts.signer.jwks()
