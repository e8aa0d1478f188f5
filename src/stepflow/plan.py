"""The plan: what a run will do to each step and workload, and why, as printable data.

`make_plan` is pure. It gets what each step desires, what the journal recorded of it, and what was observed, all as
plain values; `str(plan)` is what `stepflow plan` and `--dry-run` print and what the tests compare. `decide` is the part
of it for one step: the engine decides again when a handoff that could not be known before has come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Literal

from stepflow.targets.actions import Action
from stepflow.workflow import spoken_key

Decision = Literal["run", "rerun", "reuse", "blocked"]
NOT_LOOKED_AT = "not looked at"
DEFAULT = "default"
"""Stands in place of the words that selected a feature when the prompt named none."""
_SHOWN = 3  # changed components named before "and N more"
_WIDTH = 46  # of the column with number and title
_GUESS = 1.0  # seconds that a step takes which never ran


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal holds of a step's last attempt."""

    run: int
    outcome: Literal["done", "failed", "interrupted"]
    components: Mapping[str, str]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FileDiff:
    """How the rendered tree differs from the disk, in numbers of files."""

    new: int = 0
    changed: int = 0
    same: int = 0
    edited: tuple[str, ...] = ()  # kept as the user edited them
    conflicts: tuple[str, ...] = ()  # edited by the user, and what is rendered there changed too
    gone: tuple[str, ...] = ()  # those of the new ones that the step rendered last
    removed: int = 0  # of the files about the whole platform

    @property
    def writes(self) -> bool:
        """Whether a file is written or removed."""
        return bool(self.new or self.changed or self.removed)

    def __str__(self) -> str:
        """Format the counts that are not zero."""
        counts = (
            (self.new, "new"),
            (self.changed, "changed"),
            (self.removed, "removed"),
            (len(self.edited), "kept as you edited them"),
        )
        said = [f"{count} {word}" for count, word in counts if count]
        said += [f"conflict in {path}" for path in self.conflicts]
        return ", ".join(said) or ("unchanged" if self.same else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one step before it is decided."""

    number: int
    title: str
    playbook: str = ""
    relies: tuple[int, ...] = ()
    takes: tuple[int, ...] = ()  # the steps whose handoffs it takes
    components: Mapping[str, str] = field(default_factory=dict)
    record: Record | None = None
    actions: tuple[Action, ...] = ()  # as the target reconciled what the step declares with what it observed
    features: tuple[tuple[str, str], ...] = ()  # feature, the words that selected it or `DEFAULT`
    files: FileDiff = FileDiff()
    provisional: bool = False  # what it declares is known only when the steps that it takes from have run
    volatile: bool = False  # what it hands off is known only after it ran (it has a job)
    reads: bool = False  # it reads files, which a step before it may write
    checked: bool = False  # postconditions were asked
    broken: tuple[str, ...] = ()  # postconditions that do not hold, in words
    late: tuple[str, ...] = ()  # postconditions that were not answered in time, in words, of what is ready
    unasked: bool = False  # postconditions are run when its turn comes, after what is down was seen to
    unseen: bool = False  # the target could not be inspected
    note: str = ""  # its former name and number: printed with the reasons, but not a reason
    asked: int | None = None  # the run that was asked to do it again, and has not; 0: the one that is planned


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What happens to one step, and why."""

    facts: Facts
    action: Decision
    reasons: tuple[str, ...]
    unknown: tuple[int, ...] = ()  # the steps whose handoffs it takes and that are not known yet

    @property
    def _acts(self) -> bool:
        return bool(self.facts.actions) or self.facts.provisional

    def __str__(self) -> str:
        """Format the step's lines of the plan."""
        head = f"{self.facts.number:>3} {self.facts.title}"
        lines = [f"{head:<{_WIDTH}} {self.action}", *(f"      {reason}" for reason in self.reasons)]
        if self.facts.features:
            read = (name if words == DEFAULT else f'{name} ("{words}")' for name, words in self.facts.features)
            lines.append(f"      features  {', '.join(read)}")
        if self.action == "blocked":
            lines += [f"      its actions become known when {_run(self.unknown)}"] if self._acts else []
        elif self.action != "reuse":
            if files := str(self.facts.files):
                lines.append(f"      files     {files}")
            lines += [f"      {action}" for action in self.facts.actions]
            if self.unknown and self.facts.provisional:
                lines.append(f"      its actions become known when {_run(self.unknown)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow compared with its records and with what is observed."""

    platform: str
    target: str
    steps: tuple[StepPlan, ...]
    removals: tuple[Action, ...]
    waves: tuple[tuple[int, ...], ...]
    critical_path: tuple[int, ...]
    seconds: float | None  # along the critical path, from recorded times; None: some step never ran
    documents: FileDiff | str = FileDiff()  # the files about the whole platform; in words why that is not known
    unseen: bool = False  # the target could not be inspected: what finished steps made is taken to be there
    left_over: int = 0  # files of steps that are gone, which are removed

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        writes = self.documents.writes if isinstance(self.documents, FileDiff) else True
        return (
            not self.removals
            and not self.left_over
            and not writes
            and all(step.action == "reuse" for step in self.steps)
        )

    def __str__(self) -> str:
        """Format the whole plan as text that fits 80 columns where the titles do."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        actions = [step.action for step in self.steps]
        words = {"run": "to run", "rerun": "to re-run", "blocked": "to be decided", "reuse": "to reuse"}
        counts = ", ".join(f"{actions.count(action)} {said}" for action, said in words.items() if action in actions)
        yield f"plan for `{self.platform}` on {self.target}: {counts or 'no steps'}"
        if self.unseen:
            yield f"{NOT_LOOKED_AT}: planned from the last run's record"
        yield ""
        yield from map(str, self.steps)
        if (files := str(self.documents)) not in {"", "unchanged"}:
            yield "    the whole platform"
            yield f"      files     {files}"
        if self.removals:
            yield "    no step declares these any more"
            yield from (f"      {action}" for action in self.removals)
        if self.left_over:
            yield "    no step renders these any more"
            yield f"      files     {self.left_over} removed"
        yield ""
        yield f"waves: {' | '.join(' '.join(map(str, wave)) for wave in self.waves)}"
        took = f" (about {self.seconds:.1f} s)" if self.seconds is not None else ""
        yield f"critical path: {' -> '.join(map(str, self.critical_path))}{took}"
        if self.idle:
            yield f"nothing to do{', by the record' if self.unseen else ''}"


def make_plan(
    platform: str,
    target: str,
    facts: Sequence[Facts],
    *,
    removals: Sequence[Action] = (),
    documents: FileDiff | str = FileDiff(),
    unseen: bool = False,
    left_over: int = 0,
) -> Plan:
    """Plan a run; `removals` are the target's actions for what no step declares any more, `documents` how its
    files about the whole platform differ from the disk, `left_over` the number of files of steps that are gone.

    Raises `ValueError` for a cycle; linear in steps, edges and components.

    What several steps declare, such as a server, is planned with the first of them.
    """
    order = _ordered(facts)
    facts = _claimed(facts)
    by_number = {step.number: step for step in facts}
    planned: dict[int, StepPlan] = {}
    unsettled: dict[int, tuple[int, ...]] = {}  # step -> those before it, nearest first, that may change what it finds
    for number in order:
        step = by_number[number]
        before = dict.fromkeys((*step.relies, *step.takes))
        unsettled[number] = tuple(n for n in before if planned[n].action != "reuse" or unsettled[n])
        unknown = [n for n in step.takes if _unknown(planned[n])]
        planned[number] = decide(step, unknown=unknown, unsettled=unsettled[number])
    path, seconds = _critical_path(order, by_number)
    steps = tuple(planned[step.number] for step in facts)
    waves, removed = _waves(order, by_number), tuple(removals)
    return Plan(platform, target, steps, removed, waves, path, seconds, documents, unseen, left_over)


def decide(facts: Facts, *, unknown: Sequence[int] = (), unsettled: Sequence[int] = ()) -> StepPlan:
    """Decide about one step. `unknown` are the steps whose handoffs it takes and that are not known yet, `unsettled`
    those that it relies on and that may still change the files it finds.
    """
    reading = unsettled if facts.reads else ()
    decided = replace(_decide(facts, unknown, unsettled), unknown=(*unknown, *reading))
    return replace(decided, reasons=(*decided.reasons, facts.note)) if facts.note else decided


def _decide(facts: Facts, unknown: Sequence[int], unsettled: Sequence[int]) -> StepPlan:
    record = facts.record
    if record is None:
        return StepPlan(facts, "run", ("first run",))
    reasons = [*_past(record), *changes(record.components, facts.components)]
    reasons += _live(facts, explained=bool(reasons)) if record.outcome == "done" else []
    reasons += _asked(record, facts.asked)
    if reasons:
        return StepPlan(facts, "rerun", tuple(reasons))
    if unknown:
        return StepPlan(facts, "blocked", (f"re-run only if the handoff of {_named(unknown)} changes",))
    if facts.reads and unsettled:
        return StepPlan(facts, "blocked", (f"re-run only if {_named(unsettled)} changes the files that it reads",))
    return StepPlan(facts, "reuse", (_unchanged(facts, settled=not unsettled),))


def _unchanged(facts: Facts, *, settled: bool) -> str:
    """Return why a step is reused."""
    if facts.unasked or (facts.checked and not settled):
        return "unchanged: reused if its checks pass"
    if facts.unseen and facts.actions:
        return f"unchanged, {NOT_LOOKED_AT}: reused"
    if facts.late:
        return f"unchanged and ready, {' and '.join(facts.late)}: reused"
    return "unchanged and healthy: reused" if facts.checked or facts.actions else "unchanged: reused"


def _named(steps: Sequence[int]) -> str:
    return " and ".join(f"step {number}" for number in steps)


def _run(steps: Sequence[int]) -> str:
    return f"{_named(steps)} {'has' if len(steps) == 1 else 'have'} run"


def _claimed(facts: Sequence[Facts]) -> list[Facts]:
    claimed: set[str] = set()
    found = []
    for step in facts:
        found.append(replace(step, actions=tuple(each for each in step.actions if each.name not in claimed)))
        claimed.update(each.name for each in step.actions)
    return found


def _past(record: Record) -> Iterator[str]:
    if record.outcome == "failed":
        yield f"failed in run {record.run}"
    elif record.outcome == "interrupted":
        yield f"was interrupted in run {record.run}"


def _asked(record: Record, asked: int | None) -> Iterator[str]:
    if asked == 0:
        yield "asked for"
    elif asked and (record.outcome == "done" or record.run < asked):  # else that it did not succeed says it all
        yield f"asked for in run {asked}, which did not finish it"


def _live(facts: Facts, *, explained: bool) -> Iterator[str]:
    for action in facts.actions:
        if action.verb != "keep" and not explained:
            yield action.reason
    if not explained:
        yield from missing(facts.files)
    yield from facts.broken


def missing(files: FileDiff) -> Iterator[str]:
    """Describe the files that are gone; nothing where all are there."""
    if count := len(files.gone):
        yield "1 rendered file is gone" if count == 1 else f"{count} rendered files are gone"


def _unknown(step: StepPlan) -> bool:
    return step.action == "blocked" or (step.facts.volatile and step.action != "reuse")


def _ordered(facts: Sequence[Facts]) -> tuple[int, ...]:
    graph = {step.number: dict.fromkeys((*step.relies, *step.takes)) for step in facts}
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"dependency cycle: {' → '.join(map(str, error.args[1]))}") from error


def _waves(order: Sequence[int], facts: Mapping[int, Facts]) -> tuple[tuple[int, ...], ...]:
    level: dict[int, int] = {}
    waves: list[list[int]] = []
    for number in order:
        level[number] = max((level[n] + 1 for n in (*facts[number].relies, *facts[number].takes)), default=0)
        if level[number] == len(waves):
            waves.append([])
        waves[level[number]].append(number)
    return tuple(tuple(sorted(wave)) for wave in waves)


def _critical_path(order: Sequence[int], facts: Mapping[int, Facts]) -> tuple[tuple[int, ...], float | None]:
    cost: dict[int, float] = {}
    before: dict[int, int | None] = {}
    for number in order:
        step = facts[number]
        own = step.record.seconds if step.record else _GUESS
        before[number] = max((*step.relies, *step.takes), key=lambda n: cost[n], default=None)
        last = before[number]
        cost[number] = own + (cost[last] if last is not None else 0.0)
    if not cost:
        return (), None
    at: int | None = max(cost, key=lambda n: cost[n])
    total = cost[at] if at is not None and all(step.record for step in facts.values()) else None
    path = []
    while at is not None:
        path.append(at)
        at = before[at]
    return tuple(reversed(path)), total


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Describe the components of a fingerprint that differ."""
    rendered: dict[str, list[str]] = {}  # what happened -> the files to which it did
    said: dict[str, str] = {}
    for key in sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)):
        kind, _, path = key.partition(":")
        if kind == "template":
            happened = "rendered in addition" if key not in old else "what is rendered changed"
            happened = "no longer rendered" if key not in new else happened
            rendered.setdefault(happened, []).append(path)
            said[happened] = f"{happened}: {_first(rendered[happened])}"
        else:
            said[key] = change(key, old.get(key), new.get(key))
    more = len(said) - _SHOWN
    shown = [*islice(said.values(), _SHOWN)]
    return [*shown, f"and {more} more {'change' if more == 1 else 'changes'}"] if more > 0 else shown


def _first(paths: Sequence[str]) -> str:
    """Name the first files, and count the others."""
    more = len(paths) - _SHOWN
    rest = f" and {more} more {'file' if more == 1 else 'files'}" if more > 0 else ""
    return ", ".join(paths[:_SHOWN]) + rest


def change(key: str, old: str | None, new: str | None) -> str:
    """Describe how one component differs, other than a file; None: it is absent."""
    kind, _, name = key.partition(":")
    if kind == "field":
        setting, dot, path = name.partition(".")
        name = f"{spoken_key(setting)}{dot}{path}"
    happened = "added" if old is None else "removed" if new is None else "changed"
    said = f"{kind} `{name}` {happened}" if name else f"{kind} {happened}"
    match kind:
        case "handoff" if ".creates." in name:
            said = f"contents of `{name.partition('.creates.')[2].replace(chr(92), '')}` {happened}"
        case "env":
            said = f"environment variable `{name}` {happened}"
        case "edited":
            said = f"edited by you: {name}" if new is not None else f"no longer edited by you: {name}"
        case "feature":
            said = f"feature `{name}` {'selected' if old is None else 'no longer selected'}"
        case "gives":
            said = f"what it hands off is `{new}` now" if new else f"what it hands off is no longer `{old}`"
        case "replicas":
            said = f"`{name}` scaled {old or 1} -> {new or 1}"
        case "option" if old is None or new is None:
            said = f"option `{name}` " + ("no longer set" if new is None else f"set to {new}")
        case "field" | "playbook" | "target" | "option":
            said += f" {' -> '.join(value for value in (old, new) if value is not None)}"
        case _:
            pass
    return said
