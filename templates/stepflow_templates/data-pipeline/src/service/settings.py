"""What the service is configured with, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from chassis.settings import Settings


class PipelineSettings(Settings):
    """The environment of the data pipeline."""

    service: str = "data-pipeline"
    warehouse_dir: Path
    """The folder of the DuckDB file; one process at a time may own it."""
    query_timeout: float = Field(default=10.0, gt=0, le=300)
    """Seconds after which a report's query is interrupted."""
