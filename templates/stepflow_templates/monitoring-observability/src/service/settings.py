"""Configuration from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from chassis.settings import Settings


class ObservabilitySettings(Settings):
    """Settings of this service, beside those that every service has."""

    service: str = "monitoring-observability"
    otlp_port: int = Field(default=4318, ge=1, le=65535)
    """Where telemetry is received; 4318 is OTLP/HTTP's registered port."""
    data_dir: Path = Path("data")
    """The folder of the SQLite file."""
    retention_hours: float = Field(default=24.0, gt=0, le=8760)
    max_megabytes: int = Field(default=512, ge=16, le=1_048_576)
    """How large the file may grow before the oldest telemetry goes."""
    sampling: float = Field(default=1.0, ge=0, le=1)
    """Which fraction of new traces is recorded, by all services and the gateway."""
