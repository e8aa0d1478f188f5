"""Keeps pages in a browser away from the Consul API, which asks nobody who he is.

A page reaches a port of this machine by a name of its own that resolves to 127.0.0.1 (DNS rebinding); the name then
stands in `Host`. So only names are answered that nobody can buy: addresses, names without a dot, those that no public
resolver knows. What a page sends to another origin than its own says so in `Origin`.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PRIVATE = (".localhost", ".local", ".internal", ".svc", ".consul")


def is_private(host: str) -> bool:
    """Whether a `Host` (with or without a port) is a name that only this network can have given."""
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
    """Answers 403 to a request that a page made."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what no page made."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        host = headers.get("host", "")
        if "origin" in headers or not is_private(host):
            what = f"a page of `{headers['origin']}`" if "origin" in headers else f"requests to the host `{host}`"
            answer = PlainTextResponse(f"Permission denied: this API does not answer {what[:200]}", 403)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
