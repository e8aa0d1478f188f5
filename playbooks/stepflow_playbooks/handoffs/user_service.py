"""What a step of the playbook `user-service` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

NAME = "user-service"
USERS = Endpoint(NAME)
ISSUER = "urn:stepflow:users"


class UserServiceHandoff(ServiceHandoff):
    """The user service, the issuer of its access tokens, and the administrator's credential."""

    service: str = NAME
    endpoint: Endpoint = USERS
    routes: tuple[str, ...] = ("/api/users", "/api/auth")
    publishes: tuple[str, ...] = ("users.v1.registered", "users.v1.updated", "users.v1.deleted")
    issuer: str = ISSUER
    jwks: Endpoint = Endpoint(NAME, path="/api/auth/jwks.json")
    api: Endpoint = Endpoint(NAME, path="/openapi.json")
