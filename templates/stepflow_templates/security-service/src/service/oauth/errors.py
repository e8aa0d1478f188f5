"""Errors exactly as RFC 6749 §5.2 has them: not problem+json, because OAuth clients read `error`."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
UNAUTHORIZED = 401


class OAuthError(Exception):
    """`error` is one of the codes of §5.2. `challenge` where the client tried HTTP authentication."""

    def __init__(self, error: str, description: str, *, status: int = 400, challenge: bool = False) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.challenge = challenge


def invalid_client(*, challenge: bool) -> OAuthError:
    """The same error for an unknown client, a wrong secret and a disabled client."""
    return OAuthError("invalid_client", "client authentication failed", status=UNAUTHORIZED, challenge=challenge)


def install(app: FastAPI) -> None:
    """Make the app answer with these errors."""

    async def on_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OAuthError)
        headers = dict(NO_STORE)
        if error.challenge:
            headers["WWW-Authenticate"] = 'Basic realm="oauth2", charset="UTF-8"'
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, error.status, headers=headers)

    app.add_exception_handler(OAuthError, on_error)
