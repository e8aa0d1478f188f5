"""OpenAPI 3.1 that matches the service: every operation may answer with a problem, and 422 has our shape."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from chassis.problem import SCHEMA, declared

REPLACED = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Make the app serve this document; it is built on the first request."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                openapi_version="3.1.0",
                summary=app.summary,
                routes=app.routes,
                servers=[{"url": "/"}],
            )
            app.openapi_schema = _complete(document)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in REPLACED:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "422" in responses:
                responses["422"] = declared("The values are not acceptable; `errors` points at each.")
            if operation.get("security"):
                responses.setdefault("401", declared("A valid access token is needed."))
                responses.setdefault("403", declared("The token does not permit this."))
            responses.setdefault("default", declared("Anything else that goes wrong."))
    return document
