"""The page: HTML, JavaScript and CSS of its own, under a policy that lets nothing else run."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from chassis.problem import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def page_router() -> APIRouter:
    """Make the routes of the page; the files are read once."""
    folder = files("service").joinpath("static")
    contents = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
    router = APIRouter(prefix="/observability", include_in_schema=False)

    @router.get("")
    async def enter() -> RedirectResponse:
        return RedirectResponse("/observability/", 308)

    @router.get("/")
    async def page() -> Response:
        return _file(contents, "index.html")

    @router.get("/static/{name}")
    async def asset(name: str) -> Response:
        return _file(contents, name)

    return router


def _file(contents: dict[str, bytes], name: str) -> Response:
    if name not in contents:
        raise Problem(404, detail="There is no such file.")
    media = TYPES.get(name[name.rfind(".") :], "application/octet-stream")
    return Response(contents[name], headers=HEADERS, media_type=media)
