"""The typed inputs of a monitoring-observability step."""

from __future__ import annotations

from pydantic import Field

from stepflow.playbook import Settings


class ObservabilitySettings(Settings):
    """How much telemetry is taken, and how long it is kept."""

    sampling: float = Field(default=1.0, ge=0, le=1)
    """Which part of new traces is recorded, 0 to 1. Errors are not kept apart: what is not sampled is not seen."""
    retention_hours: float = Field(default=24.0, gt=0, le=8760)
    """How long telemetry is kept."""
    max_megabytes: int = Field(default=512, ge=16, le=1_048_576)
    """How large the store may grow before the oldest telemetry goes."""
