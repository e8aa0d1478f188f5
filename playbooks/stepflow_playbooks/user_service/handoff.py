"""What the step passes on."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

NAME = "user-service"
USERS = Endpoint(NAME)
ISSUER = "urn:stepflow:users"


class UserServiceHandoff(ServiceHandoff):
    """Where accounts are, who signs their tokens, and the administrator."""

    service: str = NAME
    endpoint: Endpoint = USERS
    routes: tuple[str, ...] = ("/api/users", "/api/auth")
    publishes: tuple[str, ...] = ("users.v1.registered", "users.v1.updated", "users.v1.deleted")
    issuer: str = ISSUER
    jwks: Endpoint = Endpoint(NAME, path="/api/auth/jwks.json")
    api: Endpoint = Endpoint(NAME, path="/openapi.json")
