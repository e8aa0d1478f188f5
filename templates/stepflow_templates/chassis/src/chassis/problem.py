"""Errors as RFC 9457 `application/problem+json`: for what a service raises, and for whatever else goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
MEMBERS = ("type", "title", "status", "detail", "instance")

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "default": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def declared(description: str) -> dict[str, Any]:
    """Describe a problem response for OpenAPI."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: declared("The request cannot be read."),
    401: declared("A valid access token is needed."),
    403: declared("The token does not permit this."),
    404: declared("There is no such thing."),
    422: declared("The values are not acceptable; `errors` points at each."),
}
"""For FastAPI's `responses=`; every operation has `default` declared as a problem anyway."""


class Problem(HTTPException):
    """Raise it to answer with problem details; `extensions` become further members."""

    def __init__(
        self,
        status: int,
        title: str = "",
        *,
        detail: str = "",
        type: str = "about:blank",  # noqa: A002 - the member's name in RFC 9457
        headers: Mapping[str, str] | None = None,
        **extensions: Any,  # noqa: ANN401 - any JSON value
    ) -> None:
        """Keep what the answer says. Without a title it is the status's own phrase."""
        super().__init__(status, detail=detail, headers=headers)
        self.title = title or HTTPStatus(status).phrase
        self.type = type
        self.extensions = extensions

    def response(self, instance: str = "") -> JSONResponse:
        """Return the answer, for the (decoded) path `instance`."""
        body: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status_code}
        if self.detail:
            body["detail"] = self.detail
        if instance:
            body["instance"] = quote(instance)
        body |= {name: value for name, value in self.extensions.items() if name not in MEMBERS}
        return JSONResponse(body, self.status_code, headers=dict(self.headers or {}), media_type=MEDIA_TYPE)


def pointer(location: Sequence[int | str]) -> str:
    """Turn pydantic's location into a JSON pointer (RFC 6901) into the body, or `query/name` and the like."""
    where, *rest = [str(part).replace("~", "~0").replace("/", "~1") for part in location] or ["body"]
    path = "".join(f"/{part}" for part in rest)
    return f"#{path}" if where == "body" else f"{where}{path}"


def is_json(content_type: str) -> bool:
    """Return whether a Content-Type is JSON, also `application/merge-patch+json` and its like."""
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def of_validation(error: RequestValidationError, content_type: str) -> Problem:
    """Describe the problem of a request: 400 not JSON, 415 another media type, 422 values, each with its pointer."""
    items = error.errors()
    if any(item["type"] == "json_invalid" for item in items):
        return Problem(400, "Malformed JSON", detail="The body is not valid JSON.")
    body_refused = any(tuple(item["loc"]) == ("body",) and item["type"] != "missing" for item in items)
    if body_refused and content_type and not is_json(content_type):
        return Problem(
            415, detail=f"The body must be JSON, not `{content_type}`.", headers={"Accept": "application/json"}
        )
    errors = [{"pointer": pointer(item["loc"]), "detail": str(item["msg"])} for item in items]
    count = "1 value is" if len(errors) == 1 else f"{len(errors)} values are"
    return Problem(422, "Unacceptable values", detail=f"{count} not acceptable.", errors=errors)


def allowed(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods that a path takes, over all of its routes (the router itself names only the first one's)."""
    asked = {"type": "http", "path": scope["path"], "root_path": scope.get("root_path", ""), "headers": []}

    def taken(method: str) -> bool:
        return any(route.matches({**asked, "method": method})[0] is Match.FULL for route in app.routes)

    found = [method for method in METHODS if taken(method)]
    return sorted([*found, "HEAD"]) if "GET" in found else found  # the edge answers HEAD wherever there is a GET


def install(app: FastAPI) -> None:
    """Make the app answer every error with problem details."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response(request.scope["path"])

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != phrase else ""
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(allowed(app, request.scope))
        return Problem(error.status_code, detail=detail, headers=headers).response(request.scope["path"])

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        problem = of_validation(error, request.headers.get("content-type", ""))
        return problem.response(request.scope["path"])

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
