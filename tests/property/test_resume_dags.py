"""Whatever the graph and wherever a run is cut off or fails, resuming ends where an uninterrupted run ends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stepflow.engine import Options, Platform, carry_out, past, prune, runs, survey, to_prune
from stepflow.errors import PermanentError, Span
from stepflow.events import Event, StepFinished
from stepflow.handoff import Endpoint, Handoff, ServiceHandoff
from stepflow.journal import Journal
from stepflow.journal.record import Change
from stepflow.playbook import Playbook, Settings, StepInput, Takes
from stepflow.targets.contract import Provider, Site
from stepflow.testing import FakeTarget
from stepflow.workflow import Edge, Step, Workflow
from stepflow.workload import Declaration, HttpProbe, Workload

NOWHERE = Span("w.md", 1)


class Service(Playbook):
    """One workload a step, and a handoff that says which."""

    name = "service"
    summary = "A service."
    gives = ServiceHandoff
    takes = (Takes(Handoff),)

    def render(self, step: StepInput) -> Mapping[str, bytes]:
        return {f"s{step.number}/app.py": str(sorted(step.handoffs)).encode()}

    def declare(self, step: StepInput) -> Declaration:
        name = f"s{step.number}"
        return Declaration((Workload(name, ("python",), HttpProbe("/ready"), context=name),))

    def handoff(self, step: StepInput) -> Handoff:
        return ServiceHandoff(service=f"s{step.number}", endpoint=Endpoint(f"s{step.number}"))


@dataclass(frozen=True)
class Resolved:
    """A step as the registry would resolve it."""

    step: Step
    takes: tuple[int, ...]
    playbook: Playbook = field(default_factory=Service)
    settings: Settings = field(default_factory=Settings)
    features: Mapping[str, str] = field(default_factory=dict)
    collects: tuple[int, ...] = ()


class CutOff(BaseException):
    """What stands for SIGKILL here: nothing in the engine may catch it and go on."""


class MortalJournal(Journal):
    """Dies at one write."""

    left: int | None = None

    def _write(self, *changes: Change) -> int:
        if self.left == 0:
            raise CutOff
        if self.left is not None:
            self.left -= 1
        return super()._write(*changes)


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, tuple[int, ...]]:
    """Draw up to seven steps, each relying on any earlier ones."""
    size = draw(st.integers(1, 7))
    return {n: tuple(sorted(draw(st.sets(st.integers(1, n - 1))))) if n > 1 else () for n in range(1, size + 1)}


def platform(graph: Mapping[int, tuple[int, ...]], folder: Path, target: FakeTarget) -> Platform:
    steps = {n: Step(n, f"S {n}", "service", "go", "", None, {}, {}, NOWHERE) for n in graph}
    edges = tuple(Edge(source, n, "", NOWHERE) for n, sources in graph.items() for source in sources)
    resolved = [Resolved(steps[n], sources) for n, sources in graph.items()]
    workflow = Workflow("dag", "Dag", "w.md", tuple(steps.values()), edges)
    offered = Provider("fake", lambda _: target, lambda _: ())
    return Platform("w.md", workflow, resolved, Site("dag", folder / "s", folder / "o"), offered)


def run(
    where: Platform, *, jobs: int, dies_after: int | None = None, forced: Collection[int] = ()
) -> tuple[str, dict[int, str]]:
    """Run once; give the status (`cut off` when the journal died) and how each step ended."""
    events: list[Event] = []

    async def once(journal: Journal) -> str:
        found = await survey(where, past(journal, where.site.out), forced=forced)
        return await carry_out(found, journal, Options(jobs=jobs), events.append, None)

    with MortalJournal(where.site.state / "journal.db") as journal:
        journal.left = dies_after
        try:
            status = asyncio.run(once(journal))
        except CutOff:
            status = "cut off"
    return status, {event.step: event.outcome for event in events if isinstance(event, StepFinished)}


def describe(declarations: Sequence[Declaration]) -> dict[str, bytes]:
    """Describe the platform by the names of its workloads."""
    return {"names.txt": " ".join(workload.name for each in declarations for workload in each.workloads).encode()}


def finished_steps(where: Platform) -> set[int]:
    with Journal(where.site.state / "journal.db") as journal:
        return {n for n, last in past(journal, where.site.out).last.items() if last.record.outcome == "done"}


@given(graph=graphs(), writes=st.integers(0, 40), jobs=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_run_cut_off_at_any_write_is_resumed_to_the_same_end(
    graph: dict[int, tuple[int, ...]], writes: int, jobs: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = FakeTarget(describe=describe)
        where = platform(graph, Path(folder), target)
        run(where, jobs=jobs, dies_after=writes)
        stood = finished_steps(where)
        made = dict(target.applied)

        status, outcomes = run(where, jobs=jobs)

        assert status == "succeeded"
        assert {n for n, outcome in outcomes.items() if outcome == "reused"} == stood
        assert target.applied == {f"s{n}": 1 for n in graph}, f"made twice; the first run had made {made}"
        assert (where.site.out / "names.txt").read_text() == " ".join(f"s{n}" for n in graph)
        assert run(where, jobs=jobs) == ("succeeded", dict.fromkeys(graph, "reused"))


def planned(where: Platform) -> dict[int, str]:
    """Return what a plan says that the next run will do to each step."""

    async def once(journal: Journal) -> dict[int, str]:
        found = await survey(where, past(journal, where.site.out))
        return {step.facts.number: step.action for step in found.plan.steps}

    with Journal(where.site.state / "journal.db") as journal:
        return asyncio.run(once(journal))


def with_dependants(graph: Mapping[int, tuple[int, ...]], start: int) -> set[int]:
    again = {start}
    for number, sources in graph.items():
        if again & set(sources):
            again.add(number)
    return again


@given(
    graph=graphs(),
    cuts=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 30), st.booleans()), min_size=1, max_size=3),
    jobs=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_what_cut_off_or_failed_runs_were_asked_to_do_again_is_done_by_the_next_once_and_as_planned(
    graph: dict[int, tuple[int, ...]], cuts: list[tuple[int, int, bool]], jobs: int
) -> None:
    """Runs with `--from`, each cut off at some write or failing at its first step; then one without."""
    with tempfile.TemporaryDirectory() as folder:
        target = FakeTarget()
        where = platform(graph, Path(folder), target)
        run(where, jobs=jobs)
        owed: set[int] = set()
        for any_step, writes, fails in cuts:
            start = min(any_step, len(graph))
            if fails:
                target.lose(f"s{start}")
                target.fail(f"s{start}", PermanentError("broken"))
            status, outcomes = run(where, jobs=jobs, dies_after=None if fails else writes, forced={start})
            if status == "cut off" and writes == 0:
                continue  # it had not begun
            owed |= with_dependants(graph, start)
            owed -= {n for n in owed if n in finished_steps(where) and ended_in_last_run(where, n)}

        plan = planned(where)
        status, outcomes = run(where, jobs=jobs)

        assert {n for n, action in plan.items() if action != "reuse"} == owed
        assert (status, {n for n, outcome in outcomes.items() if outcome == "done"}) == ("succeeded", owed)
        assert run(where, jobs=jobs) == ("succeeded", dict.fromkeys(graph, "reused"))


@given(
    graph=graphs(),
    cuts=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 30)), min_size=1, max_size=5),
    keep=st.integers(1, 3),
)
@settings(max_examples=20, deadline=None)
def test_removing_runs_from_the_record_changes_no_plan(
    graph: dict[int, tuple[int, ...]], cuts: list[tuple[int, int]], keep: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        where = platform(graph, Path(folder), FakeTarget(describe=describe))
        shorter = platform({1: ()}, Path(folder), FakeTarget(describe=describe))
        for any_step, writes in cuts:
            run(where, jobs=2, dies_after=writes, forced={min(any_step, len(graph))})

        def plans(journal: Journal) -> list[str]:
            known = past(journal, where.site.out)
            return [str(asyncio.run(survey(each, known)).plan) for each in (where, shorter)]

        with Journal(where.site.state / "journal.db") as journal:
            known, before = past(journal, where.site.out), plans(journal)
            prune(journal, to_prune(journal, where.site.state, keep=keep))
            assert past(journal, where.site.out) == known
            assert plans(journal) == before


def ended_in_last_run(where: Platform, number: int) -> bool:
    with Journal(where.site.state / "journal.db") as journal:
        last = past(journal, where.site.out).last[number]
        return last.record.run == runs(journal)[0].number


@given(graph=graphs(), broken=st.sets(st.integers(1, 7), min_size=1), jobs=st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_after_failures_are_fixed_only_what_failed_or_was_skipped_is_done(
    graph: dict[int, tuple[int, ...]], broken: set[int], jobs: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = FakeTarget()
        where = platform(graph, Path(folder), target)
        failing = broken & graph.keys()
        for number in failing:
            target.fail(f"s{number}", PermanentError("broken"))
        down: set[int] = set()
        for number, sources in graph.items():
            if number in failing or down & set(sources):
                down.add(number)

        status, outcomes = run(where, jobs=jobs)

        assert status == ("failed" if failing else "succeeded")
        assert {n for n, outcome in outcomes.items() if outcome == "done"} == graph.keys() - down
        while (resumed := run(where, jobs=jobs))[0] != "succeeded":  # one that was skipped may fail in its turn
            assert resumed[0] == "failed"
        assert target.applied == {f"s{n}": 1 for n in graph}
        assert finished_steps(where) == set(graph)
