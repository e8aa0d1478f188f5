"""Keeps browser pages away from the Consul API, which has no authentication.

A page reaches a port of this machine by a name of its own that resolves to 127.0.0.1 (DNS rebinding); the name then
stands in `Host`. So the API only answers names that cannot be registered: addresses, names without a dot, and those
that no public resolver knows. A request of a page to another origin carries `Origin`.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PRIVATE = (".localhost", ".local", ".internal", ".svc", ".consul")


def is_private(host: str) -> bool:
    """Return whether a `Host` (with or without a port) is a name that only this network can have assigned."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if "." not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return name.removesuffix(".").endswith(PRIVATE)
    return True


class NoBrowsers:
    """Answers 403 to a request from a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what does not come from a page."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        host = headers.get("host", "")
        if "origin" in headers or not is_private(host):
            what = f"a page of `{headers['origin']}`" if "origin" in headers else f"requests to the host `{host}`"
            answer = PlainTextResponse(f"Permission denied: this API does not answer {what[:200]}", 403)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
