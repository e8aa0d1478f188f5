"""Steps that need what a job has yet to write: asked again when that is known, and never taken for finished before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stepflow.errors import MachineError
from stepflow.events import Notice, RunFinished, RunStarted, StepFinished
from stepflow.handoff import Handoff, JsonHandoff
from stepflow.playbook import Playbook, StepInput, Takes
from stepflow.workload import Declaration, HttpProbe, Job, Port, Workload

if TYPE_CHECKING:
    from tests.unit.conftest import Lab


class Source(Playbook):
    """A job that writes a value which cannot be known before."""

    name = "source"
    summary = "A source."
    gives = JsonHandoff
    command = ("bash", "-c", 'printf \'{"port": 81}\' > "$STEPFLOW_HANDOFF"')

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration(jobs=(Job("write", self.command),))


class Taken(Handoff):
    """A handoff without the value."""


class Taker(Playbook):
    """Cannot say what it declares before it has that value."""

    name = "taker"
    gives = Taken
    summary = "A taker."
    takes = (Takes(JsonHandoff, required=True),)

    def declare(self, step: StepInput) -> Declaration:
        (taken,) = step.handoffs.values()
        assert isinstance(taken, JsonHandoff)
        port = Port(number=taken.values["port"])
        return Declaration((Workload("taker", ("python",), HttpProbe("/ready"), ports=(port,)),))


class Collector(Playbook):
    """Renders what the takers declare."""

    name = "collector"
    summary = "A collector."
    takes = (Takes(Taken, collects=True),)

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration()

    def render(self, step: StepInput) -> dict[str, bytes]:
        made = [workload for each in step.declarations.values() for workload in each.workloads]
        return {"ports": str([workload.ports[0].number for workload in made]).encode()}


def chain(lab: Lab) -> str:
    """Write a document whose second step takes what the first one's job writes."""
    lab.playbooks = {"source": Source(), "taker": Taker()}
    text = lab.document("a", "b<1").replace("Playbook: service", "Playbook: source", 1)
    return text.replace("Playbook: service", "Playbook: taker")


def writes(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have the job write this from now on."""
    monkeypatch.setattr(Source, "command", ("bash", "-c", f"printf '{text}' > \"$STEPFLOW_HANDOFF\""))


async def test_step_that_needs_what_a_job_has_yet_to_write_is_asked_when_that_is_known(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = chain(lab)
    assert await lab.run(text) == "succeeded"
    assert lab.outcomes() == {1: "done", 2: "done"}
    assert lab.target.observed["taker"].url == "http://taker.fake.invalid:81"
    assert await lab.run(text) == "succeeded"
    assert lab.outcomes() == {1: "reused", 2: "reused"}
    writes(monkeypatch, '{"port": 82}')
    assert await lab.run(text) == "succeeded"
    assert lab.reasons(2)[0] == "handoff `source.values.port` changed"
    assert lab.target.observed["taker"].url == "http://taker.fake.invalid:82"


async def test_step_that_cannot_use_what_the_job_wrote_fails(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    text = chain(lab)
    writes(monkeypatch, '{"prot": 81}')
    assert await lab.run(text) == "failed"
    assert lab.outcomes() == {1: "done", 2: "failed"}
    assert lab.said(StepFinished)[1].error == "the playbook `taker` failed at step 2: KeyError: 'port'"


async def test_workload_of_a_step_that_waits_for_a_job_is_not_taken_for_one_that_no_one_declares(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = chain(lab)
    await lab.run(text)
    monkeypatch.setattr(Source, "command", ("false",))
    assert await lab.run(text) == "failed"
    writes(monkeypatch, '{"port": 82}')
    assert await lab.run(text) == "succeeded"
    replaced = "known now that step 1 has run: replace `taker`: what it is made from changed"
    assert [(each.step, each.message) for each in lab.said(Notice)] == [(2, replaced)]
    assert set(lab.target.observed) == {"taker"}


async def test_plan_says_which_step_must_run_before_actions_are_known_and_the_run_then_prints_them(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = chain(lab)
    known = "      its actions become known when step 1 has run\n"
    await lab.run(text)
    first = lab.said(RunStarted)[0].plan
    assert first.partition("  2 b ")[2].startswith(f"{'run':>44}\n      first run\n{known}")
    created = "known now that step 1 has run: create `taker`: it does not exist"
    assert [(each.step, each.message) for each in lab.said(Notice)] == [(2, created)]
    writes(monkeypatch, '{"port": 82}')
    await lab.run(text)
    second = lab.said(RunStarted)[0].plan
    assert f"blocked\n      re-run only if the handoff of step 1 changes\n{known}" in second
    assert "taker" not in second
    replaced = "known now that step 1 has run: replace `taker`: what it is made from changed"
    assert [(each.step, each.message) for each in lab.said(Notice)] == [(2, replaced)]


async def test_target_that_cannot_be_opened_once_it_is_needed_fails_the_step_that_needs_it(lab: Lab) -> None:
    text = chain(lab)
    lab.closed = MachineError("no socket", hint="start it")
    assert await lab.run(text) == "failed"
    assert lab.outcomes() == {1: "done", 2: "failed"}
    assert lab.said(StepFinished)[1].hint == "start it"
    assert lab.said(RunFinished)[0].status == "failed"


async def test_step_that_collects_declarations_gets_those_that_changed_without_their_handoff(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = chain(lab) + "\n## Step 3: c\n- Playbook: collector\n- RelyPreviousStep: Step 2\n- Prompt: go\n"
    lab.playbooks["collector"] = Collector()
    assert await lab.run(text) == "succeeded"
    assert (lab.folder / "out/ports").read_bytes() == b"[81]"
    writes(monkeypatch, '{"port": 82}')
    assert await lab.run(text) == "succeeded"
    assert (lab.folder / "out/ports").read_bytes() == b"[82]"
