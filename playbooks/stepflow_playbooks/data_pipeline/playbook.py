"""The playbook data-pipeline: event streams into a warehouse, and reports out of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.handoff import DataDir, Value
from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.data_pipeline.checks import checks
from stepflow_playbooks.data_pipeline.handoff import PipelineHandoff
from stepflow_playbooks.data_pipeline.settings import DataPipelineSettings
from stepflow_playbooks.service import chassis_workload

NAME = "data-pipeline"


class DataPipeline(Playbook[DataPipelineSettings]):
    """Counts what happens, as it happens."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Event streams into a DuckDB warehouse, exactly once in effect; SQL models; reports"
    settings = DataPipelineSettings
    gives: ClassVar[type[PipelineHandoff]] = PipelineHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("etl", ("etl", "elt", "data pipeline", "data processing"), "events are loaded once", always=True),
        Feature("warehouse", ("data warehouse", "warehouse", "duckdb"), "SQL models with tests in DuckDB", always=True),
        Feature("reports", ("analytics", "reporting", "reports"), "reports as JSON, CSV, Parquet", always=True),
    )

    def render(self, step: StepInput[DataPipelineSettings]) -> Mapping[str, bytes]:
        """The pipeline's source, and the library that all services share."""
        return render_template(NAME, "chassis", context={"platform": step.platform})

    def declare(self, step: StepInput[DataPipelineSettings]) -> Declaration:
        """One process, which owns the warehouse's file."""
        env: dict[str, Value] = {
            "WAREHOUSE_DIR": DataDir("warehouse"),
            "QUERY_TIMEOUT": f"{step.settings.query_timeout:g}",
        }
        pipeline = chassis_workload(NAME, env, data=("warehouse",))
        return Declaration(workloads=(pipeline,), servers=(Server("nats"),))

    def checks(self, step: StepInput[DataPipelineSettings]) -> Collection[Check]:
        """The reports answer and are guarded; a confirmed order counts within seconds."""
        del step
        return checks()
