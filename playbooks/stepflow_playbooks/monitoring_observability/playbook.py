"""The playbook monitoring-observability: one service that takes in, keeps and shows what all others tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.handoff import DataDir, Value
from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Port, Server
from stepflow_playbooks.monitoring_observability.checks import checks
from stepflow_playbooks.monitoring_observability.handoff import NAME, TelemetryHandoff
from stepflow_playbooks.monitoring_observability.settings import ObservabilitySettings
from stepflow_playbooks.service import chassis_workload

STORE = "telemetry"


class MonitoringObservability(Playbook[ObservabilitySettings]):
    """Traces, metrics, logs, and pages to look at them."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Traces, metrics and logs by OTLP, with dashboards, search and a service map"
    settings = ObservabilitySettings
    gives: ClassVar[type[TelemetryHandoff]] = TelemetryHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("tracing", ("distributed tracing", "tracing", "traces"), "one trace across all services", always=True),
        Feature("metrics", ("metrics collection", "metrics", "monitoring"), "series of every service", always=True),
        Feature("logs", ("log aggregation", "logging", "logs"), "full-text search, linked to traces", always=True),
        Feature("dashboards", ("dashboards", "dashboard"), "rate, errors, duration and the service map", always=True),
    )

    def render(self, step: StepInput[ObservabilitySettings]) -> Mapping[str, bytes]:
        """The service's source."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[ObservabilitySettings]) -> Declaration:
        """The service with its store, and NATS, by which it tells the others where to send telemetry."""
        settings = step.settings
        env: dict[str, Value] = {
            "DATA_DIR": DataDir(STORE),
            "SAMPLING": f"{settings.sampling:g}",
            "RETENTION_HOURS": f"{settings.retention_hours:g}",
            "MAX_MEGABYTES": str(settings.max_megabytes),
        }
        workload = chassis_workload(NAME, env, ports=(Port(), Port("otlp", 4318, "OTLP_PORT")), data=(STORE,))
        return Declaration(workloads=(workload,), servers=(Server("nats"),))

    def handoff(self, step: StepInput[ObservabilitySettings]) -> TelemetryHandoff:
        """Where telemetry goes and is looked at."""
        return TelemetryHandoff(delivers=step.delivers)

    def checks(self, step: StepInput[ObservabilitySettings]) -> Collection[Check]:
        """A span that is sent is stored; one trace shows an order's way through the services."""
        del step
        return checks()
