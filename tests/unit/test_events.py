"""Every event can be told to a program."""

from __future__ import annotations

import json

import pytest

from stepflow.events import Event, Notice, Outcome, Output, RunFinished, StepFinished, as_json


def test_event_is_an_object_with_its_name_time_run_and_fields() -> None:
    told = as_json(Output(3, "hello"), 7)
    assert (told.pop("time")[-1], told) == ("Z", {"event": "output", "run": 7, "step": 3, "line": "hello"})


@pytest.mark.parametrize("kind", Event.__subclasses__())
def test_every_event_has_a_name_of_its_own_in_snake_case(kind: type[Event]) -> None:
    assert kind.name == "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


def test_outcomes_are_told_with_their_evidence() -> None:
    told = as_json(RunFinished("succeeded", 1.5, (Outcome("Mesh", "verified", ("200 OK",), 7),)), 7)
    assert json.loads(json.dumps(told))["outcomes"] == [
        {"text": "Mesh", "verdict": "verified", "evidence": ["200 OK"], "run": 7}
    ]


def test_failure_carries_all_that_a_report_needs() -> None:
    told = as_json(StepFinished(4, "failed", 2.0, (), "port taken", "free it", "x.log", ("bind failed",)), 1)
    assert (told["error"], told["hint"], told["log"], told["tail"]) == (
        "port taken",
        "free it",
        "x.log",
        ("bind failed",),
    )


def test_step_0_is_a_step_and_none_is_null() -> None:
    assert as_json(StepFinished(1, "skipped", because=0), 1)["because"] == 0
    told = json.loads(json.dumps([as_json(StepFinished(1, "skipped"), 1), as_json(Notice("interrupted"), 1)]))
    assert (told[0]["because"], told[1]["step"]) == (None, None)
