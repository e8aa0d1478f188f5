"""What a step may set."""

from __future__ import annotations

from pydantic import Field

from stepflow.playbook import Settings


class DataPipelineSettings(Settings):
    """How patient the reports are."""

    query_timeout: float = Field(default=10, gt=0, le=300, description="Seconds after which a report is given up.")
