"""What a step of the playbook `security-service` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, SecretFile, ServiceHandoff

NAME = "security-service"
CLIENT_SECRET = SecretFile("client-secret")
PROBE_SECRET = SecretFile("probe-secret")


class SecurityHandoff(ServiceHandoff):
    """The authorization server. Gateway and services do not need its address: they read `config/security`."""

    service: str = NAME
    endpoint: Endpoint = Endpoint(NAME)
    routes: tuple[str, ...] = ("/oauth2", "/.well-known", "/api/audit")
    client_id: str = "platform-client"
    scopes: tuple[str, ...] = (
        "orders:read",
        "orders:write",
        "users:read",
        "notifications:write",
        "reports:read",
        "telemetry:read",
    )
