"""What a step of the playbook `monitoring-observability` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

NAME = "monitoring-observability"
OTLP = Endpoint(NAME, "otlp")


class TelemetryHandoff(ServiceHandoff):
    """Where telemetry is sent (OTLP over HTTP), and where its dashboards are."""

    service: str = NAME
    endpoint: Endpoint = Endpoint(NAME)
    routes: tuple[str, ...] = ("/observability",)
    otlp: Endpoint = OTLP
    dashboards: str = "/observability/"
    """Path at the gateway."""
