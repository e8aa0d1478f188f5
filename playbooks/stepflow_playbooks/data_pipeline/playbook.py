"""The playbook data-pipeline: event streams are loaded into a warehouse, which serves reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from pydantic import Field

from stepflow.handoff import DataDir, Value
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.data_pipeline.checks import checks
from stepflow_playbooks.handoffs.data_pipeline import PipelineHandoff
from stepflow_playbooks.service import chassis_workload

NAME = "data-pipeline"


class DataPipelineSettings(Settings):
    """The timeout of the reports."""

    query_timeout: float = Field(default=10, gt=0, le=300, description="Seconds after which a report is cancelled.")


class DataPipeline(Playbook[DataPipelineSettings]):
    """Reports about users, orders and messages, in real time."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Event streams into a DuckDB warehouse, exactly once in effect; SQL models; reports"
    settings = DataPipelineSettings
    gives: ClassVar[type[PipelineHandoff]] = PipelineHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("etl", ("etl", "elt", "data pipeline", "data processing"), "every event is loaded once", always=True),
        Feature("warehouse", ("data warehouse", "warehouse", "duckdb"), "SQL models with tests in DuckDB", always=True),
        Feature("reports", ("analytics", "reporting", "reports"), "reports as JSON, CSV, Parquet", always=True),
    )

    def render(self, step: StepInput[DataPipelineSettings]) -> Mapping[str, bytes]:
        """Return the source of the pipeline and of the chassis."""
        return render_template(NAME, "chassis", context={"platform": step.platform})

    def declare(self, step: StepInput[DataPipelineSettings]) -> Declaration:
        """Declare one process, which owns the warehouse's file, and NATS."""
        env: dict[str, Value] = {
            "WAREHOUSE_DIR": DataDir("warehouse"),
            "QUERY_TIMEOUT": f"{step.settings.query_timeout:g}",
        }
        pipeline = chassis_workload(NAME, env, data=("warehouse",))
        return Declaration(workloads=(pipeline,), servers=(Server("nats"),))

    def checks(self, step: StepInput[DataPipelineSettings]) -> Collection[Check]:
        """Return the checks of access to reports and of a confirmed order in them."""
        del step
        return checks()
