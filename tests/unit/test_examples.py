"""The small examples do what their READMEs say; the large one has a test of its own, with servers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stepflow.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Copy an example and work in the copy."""
    folder = tmp_path / str(request.param)
    shutil.copytree(EXAMPLES / str(request.param), folder)
    monkeypatch.chdir(folder)
    return folder


def outcomes(text: str) -> dict[int, str]:
    """Return the outcome of each step, from the events of a run."""
    events = [json.loads(line) for line in text.splitlines()]
    return {event["step"]: event["outcome"] for event in events if event["event"] == "step_finished"}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/workflow.md")))
def test_every_example_is_explained(name: str) -> None:
    assert "stepflow run workflow.md" in (EXAMPLES / name / "README.md").read_text()


@pytest.mark.parametrize("example", ["hello"], indirect=True)
@pytest.mark.usefixtures("example")
def test_hello_greets_once_and_has_nothing_to_do_the_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "workflow.md", "--json"]) == 0
    assert outcomes(capsys.readouterr().out) == {1: "done"}
    assert main(["run", "workflow.md", "--json"]) == 0
    assert outcomes(capsys.readouterr().out) == {1: "reused"}


@pytest.mark.parametrize("example", ["fan-out"], indirect=True)
def test_fan_out_hands_real_values_to_its_report(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "workflow.md", "--json"]) == 0
    assert set(outcomes(capsys.readouterr().out).values()) == {"done"}
    assert (example / "book/report").read_text().splitlines()[:2] == [
        "9 words; the longest is `quick`",
        "THE QUICK BROWN FOX",
    ]


@pytest.mark.parametrize("example", ["fail-and-resume"], indirect=True)
def test_a_failed_run_goes_on_where_it_stopped(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "workflow.md", "--json"]) == 1
    assert outcomes(capsys.readouterr().out) == {1: "done", 2: "done", 3: "failed", 4: "skipped"}
    (example / "kitchen/yeast").touch()
    assert main(["resume", "--json"]) == 0
    assert outcomes(capsys.readouterr().out) == {1: "reused", 2: "reused", 3: "done", 4: "done"}
    assert len((example / "kitchen/flour").read_text().splitlines()) == 1
    (example / "kitchen/bread").unlink()
    assert main(["plan", "workflow.md"]) == 0
    assert "check `creates kitchen/bread` failed: `kitchen/bread` does not exist" in capsys.readouterr().out


def test_the_reference_workflow_is_in_the_dialect_of_the_format() -> None:
    text = (EXAMPLES / "microservices/workflow.md").read_text()
    assert text.count("```markdown\n## Step ") == 8
