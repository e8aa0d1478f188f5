"""The data-pipeline playbook: one process that owns a file, and what it passes on."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

from stepflow.handoff import DataDir
from stepflow.playbook import Playbook
from stepflow.testing import PlaybookContract
from stepflow_playbooks.data_pipeline.playbook import DataPipeline, DataPipelineSettings
from stepflow_playbooks.handoffs.data_pipeline import PipelineHandoff


class TestContract(PlaybookContract):
    """The contract of playbooks."""

    def playbook(self) -> Playbook:
        return DataPipeline()

    def test_one_process_owns_the_warehouse(self) -> None:
        """DuckDB's file has one owner: one copy, with a data directory that outlives it."""
        (pipeline,) = self.playbook().declare(self.step()).workloads
        assert (pipeline.replicas, pipeline.data) == (1, ("warehouse",))
        assert pipeline.env["WAREHOUSE_DIR"] == DataDir("warehouse")

    def test_settings_reach_the_workload(self) -> None:
        """A field of the step is a variable of the process."""
        chosen = replace(self.step(), settings=DataPipelineSettings(query_timeout=2.5))
        (pipeline,) = self.playbook().declare(chosen).workloads
        assert pipeline.env["QUERY_TIMEOUT"] == "2.5"

    def test_the_handoff_names_the_reports_that_there_are(self) -> None:
        """Each report that is passed on stands in the template's own list."""
        handoff = self.playbook().handoff(self.step())
        assert isinstance(handoff, PipelineHandoff)
        template = files("stepflow_templates") / "data-pipeline" / "src" / "service" / "reports.py"
        source = template.read_text(encoding="utf-8")
        assert [name for name in handoff.reports if f'"{name}",' not in source] == []

    def test_models_and_pages_are_rendered(self) -> None:
        """SQL and HTML are part of the tree, not only Python."""
        tree = self.playbook().render(self.step())
        for path in ("models/marts/daily_revenue.sql", "schema.sql", "page.html"):
            assert f"data-pipeline/src/service/{path}" in tree
        assert "Counts what happens on contract" in tree["data-pipeline/README.md"].decode()
