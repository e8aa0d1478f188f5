"""The plan: what a run will do to each step and workload, and why, as printable data.

`make_plan` is pure. It gets what each step wants, what the journal recorded of it, and what is really there, all as
plain values; `str(plan)` is what `stepflow plan` and `--dry-run` print and what the tests compare. `decide` is the part
of it for one step: the engine asks again when a handoff that nobody could know before has come in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from stepflow.changes import change, changes

Action = Literal["run", "rerun", "reuse", "blocked"]
Verb = Literal["create", "recreate", "scale", "keep", "remove"]
DEFAULT = "default"
"""Stands where the words do that selected a feature, when the prompt named none."""
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
class Seen:
    """A workload or server as it is right now."""

    state: Literal["ready", "starting", "stopped", "failed"]
    digest: str
    detail: str = ""
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class FileDiff:
    """How the rendered tree differs from what lies on disk, in numbers of files."""

    new: int = 0
    changed: int = 0
    same: int = 0
    edited: tuple[str, ...] = ()  # kept as the user edited them
    conflicts: tuple[str, ...] = ()  # edited by the user, and the template changed too

    def __str__(self) -> str:
        """Give the counts that are not zero."""
        counts = ((self.new, "new"), (self.changed, "changed"), (len(self.edited), "kept as you edited them"))
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
    workloads: Mapping[str, str] = field(default_factory=dict)  # name -> digest of what it shall be made from
    replicas: Mapping[str, int] = field(default_factory=dict)  # of workloads that shall have more than one copy
    servers: tuple[str, ...] = ()  # that this step is the first to want
    features: tuple[tuple[str, str], ...] = ()  # feature, the words that selected it or `DEFAULT`
    files: FileDiff = FileDiff()
    volatile: bool = False  # what it hands off is known only after it ran (it has a job)
    checked: bool = False  # postconditions were asked
    broken: tuple[str, ...] = ()  # postconditions that do not hold, in words


@dataclass(frozen=True, slots=True)
class Operation:
    """What happens to one workload or server, and its cause."""

    verb: Verb
    workload: str  # or server
    cause: str

    def __str__(self) -> str:
        """Give one line of the plan."""
        return f"{self.verb:<9} {self.workload}: {self.cause}"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What happens to one step, and why."""

    facts: Facts
    action: Action
    reasons: tuple[str, ...]
    operations: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        """Give the step's lines of the plan."""
        head = f"{self.facts.number:>3} {self.facts.title}"
        lines = [f"{head:<{_WIDTH}} {self.action}", *(f"      {reason}" for reason in self.reasons)]
        if self.facts.features:
            read = (name if words == DEFAULT else f'{name} ("{words}")' for name, words in self.facts.features)
            lines.append(f"      features  {', '.join(read)}")
        if self.action != "reuse":
            if files := str(self.facts.files):
                lines.append(f"      files     {files}")
            lines += [f"      {operation}" for operation in self.operations]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow resolved against what is recorded and what is there."""

    platform: str
    target: str
    steps: tuple[StepPlan, ...]
    removals: tuple[Operation, ...]
    waves: tuple[tuple[int, ...], ...]
    critical_path: tuple[int, ...]
    seconds: float | None  # along the critical path, from recorded times; None: some step never ran

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.removals and all(step.action == "reuse" for step in self.steps)

    def __str__(self) -> str:
        """Give the whole plan as text, readable at 80 columns for titles that are."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        actions = [step.action for step in self.steps]
        words = {"run": "to run", "rerun": "to re-run", "blocked": "to be decided", "reuse": "to reuse"}
        counts = ", ".join(f"{actions.count(action)} {said}" for action, said in words.items() if action in actions)
        yield f"plan for `{self.platform}` on {self.target}: {counts or 'no steps'}"
        yield ""
        yield from map(str, self.steps)
        if self.removals:
            yield "    no step declares these any more"
            yield from (f"      {operation}" for operation in self.removals)
        yield ""
        yield f"waves: {' | '.join(' '.join(map(str, wave)) for wave in self.waves)}"
        took = f" (about {self.seconds:.1f} s)" if self.seconds is not None else ""
        yield f"critical path: {' -> '.join(map(str, self.critical_path))}{took}"
        if self.idle:
            yield "nothing to do"


def make_plan(
    platform: str,
    target: str,
    facts: Sequence[Facts],
    seen: Mapping[str, Seen],
    *,
    orphans: Collection[str] = (),
    forced: Collection[int] = (),
) -> Plan:
    """Plan a run. Raises `ValueError` for a cycle; linear in steps, edges and components."""
    order = _ordered(facts)
    by_number = {step.number: step for step in facts}
    planned: dict[int, StepPlan] = {}
    for number in order:
        step = by_number[number]
        unknown = [n for n in step.takes if _unknown(planned[n])]
        planned[number] = decide(step, seen, unknown=unknown, forced=number in forced)
    removals = tuple(Operation("remove", name, "its step is gone from the document") for name in sorted(orphans))
    path, seconds = _critical_path(order, by_number)
    steps = tuple(planned[step.number] for step in facts)
    return Plan(platform, target, steps, removals, _waves(order, by_number), path, seconds)


def decide(facts: Facts, seen: Mapping[str, Seen], *, unknown: Sequence[int] = (), forced: bool = False) -> StepPlan:
    """Decide about one step. `unknown` are the steps whose handoffs it takes and that nobody knows yet."""
    record = facts.record
    if record is None:
        return _to_do("run", facts, ("first run",), seen)
    reasons = [*_past(record), *changes(record.components, facts.components)]
    reasons += _live(facts, seen, explained=bool(reasons)) if record.outcome == "done" else []
    if forced:
        reasons.append("asked for")
    if reasons:
        return _to_do("rerun", facts, tuple(reasons), seen)
    if unknown:
        steps = " and ".join(f"step {number}" for number in unknown)
        return StepPlan(facts, "blocked", (f"re-run only if the handoff of {steps} changes",))
    healthy = (
        "unchanged and healthy: reused" if facts.checked or facts.workloads or facts.servers else "unchanged: reused"
    )
    return StepPlan(facts, "reuse", (healthy,), tuple(_operations(facts, seen, healthy)))


def _past(record: Record) -> Iterator[str]:
    if record.outcome == "failed":
        yield f"failed in run {record.run}"
    elif record.outcome == "interrupted":
        yield f"was interrupted in run {record.run}"


def _live(facts: Facts, seen: Mapping[str, Seen], *, explained: bool) -> Iterator[str]:
    for name in (*facts.workloads, *facts.servers):
        there, what = seen.get(name), f"{'workload' if name in facts.workloads else 'server'} `{name}`"
        if there is None:
            yield f"{what} is not there"
        elif there.state != "ready":
            yield f"{what} is down" + (f": {there.detail}" if there.detail else "")
        elif explained or name not in facts.workloads:
            continue
        elif there.digest != facts.workloads[name]:
            yield f"{what} was made from something else"
        elif there.replicas != facts.replicas.get(name, 1):
            yield f"{what} has another number of copies: {there.replicas} instead of {facts.replicas.get(name, 1)}"
    if facts.files.new and not explained:
        yield "1 rendered file is gone" if facts.files.new == 1 else f"{facts.files.new} rendered files are gone"
    yield from facts.broken


def _to_do(action: Action, facts: Facts, reasons: tuple[str, ...], seen: Mapping[str, Seen]) -> StepPlan:
    return StepPlan(facts, action, reasons, tuple(_operations(facts, seen, reasons[0])))


def _operations(facts: Facts, seen: Mapping[str, Seen], reason: str) -> Iterator[Operation]:
    for name in facts.servers:
        yield _operation(name, seen.get(name), reason, same=not (image := _image(facts, name)), cause=image)
    for name, digest in facts.workloads.items():
        there, wanted = seen.get(name), facts.replicas.get(name, 1)
        same = there is not None and there.digest == digest
        kept = _operation(name, there, reason, same=same, cause=reason)
        if there is not None and kept.verb == "keep" and there.replicas != wanted:
            kept = Operation("scale", name, f"{there.replicas} to {wanted}")
        yield kept


def _operation(name: str, there: Seen | None, reason: str, *, same: bool, cause: str) -> Operation:
    if there is None:
        return Operation("create", name, reason)
    if there.state in {"stopped", "failed"}:
        return Operation("recreate", name, there.detail or "it is down")
    return Operation("keep", name, "unchanged and healthy") if same else Operation("recreate", name, cause)


def _image(facts: Facts, server: str) -> str:
    """Say how the option changed that names a server's image, "" when it did not."""
    key, record = f"option:image.{server}", facts.record
    old, new = record.components.get(key) if record else None, facts.components.get(key)
    return "" if record is None or old == new else change(key, old, new)


def _unknown(step: StepPlan) -> bool:
    return step.action == "blocked" or (step.facts.volatile and step.action != "reuse")


def _ordered(facts: Sequence[Facts]) -> tuple[int, ...]:
    graph = {step.number: dict.fromkeys((*step.relies, *step.takes)) for step in facts}
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"steps rely on each other in a circle: {' -> '.join(map(str, error.args[1]))}") from error


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
