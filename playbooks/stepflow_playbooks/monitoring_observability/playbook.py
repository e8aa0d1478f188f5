"""The playbook monitoring-observability: one service that receives, stores and shows telemetry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from pydantic import Field

from stepflow.handoff import DataDir, Value
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Port, Server
from stepflow_playbooks.handoffs.monitoring_observability import NAME, TelemetryHandoff
from stepflow_playbooks.monitoring_observability.checks import checks
from stepflow_playbooks.service import chassis_workload

STORE = "telemetry"


class ObservabilitySettings(Settings):
    """How much telemetry is recorded, and how long it is kept."""

    sampling: float = Field(default=1.0, ge=0, le=1)
    """The fraction of new traces that is recorded, 0 to 1. Errors are sampled like everything else."""
    retention_hours: float = Field(default=24.0, gt=0, le=8760)
    """Hours for which telemetry is kept."""
    max_megabytes: int = Field(default=512, ge=16, le=1_048_576)
    """Size of the store, in megabytes, above which the oldest telemetry is deleted."""


class MonitoringObservability(Playbook[ObservabilitySettings]):
    """Traces, metrics and logs, and dashboards for them."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Traces, metrics and logs by OTLP, with dashboards, search and a service map"
    settings = ObservabilitySettings
    gives: ClassVar[type[TelemetryHandoff]] = TelemetryHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("tracing", ("distributed tracing", "tracing", "traces"), "one trace across all services", always=True),
        Feature(
            "metrics", ("metrics collection", "metrics", "monitoring"), "time series of every service", always=True
        ),
        Feature("logs", ("log aggregation", "logging", "logs"), "full-text search, linked to traces", always=True),
        Feature("dashboards", ("dashboards", "dashboard"), "rate, errors, duration and the service map", always=True),
    )

    def render(self, step: StepInput[ObservabilitySettings]) -> Mapping[str, bytes]:
        """Return the source of the service and of the chassis."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[ObservabilitySettings]) -> Declaration:
        """Declare the service with its store, and NATS, where it publishes the address that receives telemetry."""
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
        """Return where telemetry is sent and where its dashboards are."""
        return TelemetryHandoff(delivers=step.delivers)

    def checks(self, step: StepInput[ObservabilitySettings]) -> Collection[Check]:
        """Return the checks of a stored span and of the trace of an order."""
        del step
        return checks()
