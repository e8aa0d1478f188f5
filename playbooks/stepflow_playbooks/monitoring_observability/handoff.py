"""What a monitoring-observability step passes on."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

NAME = "monitoring-observability"
OTLP = Endpoint(NAME, "otlp")


class TelemetryHandoff(ServiceHandoff):
    """Where telemetry goes (OTLP over HTTP), and where it is looked at."""

    service: str = NAME
    endpoint: Endpoint = Endpoint(NAME)
    routes: tuple[str, ...] = ("/observability",)
    otlp: Endpoint = OTLP
    dashboards: str = "/observability/"
    """Path at the gateway."""
