"""What earlier runs left, read from the journal: the last record of each step, and how its desired state compares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stepflow.engine.desired import DesiredStep
from stepflow.engine.matching import Known, Present, match
from stepflow.engine.meaning import FORM, fingerprint, incidental
from stepflow.engine.ownership import Ownership, ownership
from stepflow.errors import UsageError
from stepflow.events import Outcome
from stepflow.journal import PLATFORM, Attempt, Declared, Journal, Result
from stepflow.large import dumped
from stepflow.plan import Facts, Plan, Record, changes, missing
from stepflow.registry import ResolvedStep
from stepflow.targets.contract import Snapshot
from stepflow.workflow import normalise_key

_ENDED = {"failed": "failed", "interrupted": "was interrupted"}


@dataclass(frozen=True, slots=True)
class PastRun:
    """One row of `stepflow runs`."""

    number: int
    started: float
    ended: float | None
    status: str  # "" for a run that was cut off, or is still going on
    document: str
    target: str
    out: str
    outcomes: tuple[Outcome, ...]
    steps: Mapping[int, str]
    options: Mapping[str, str] = field(default_factory=dict)  # of the target
    workflow: str = ""  # the name that the document gave itself; "" where that was not recorded yet
    pid: int = 0  # of the process that carried it out


@dataclass(frozen=True, slots=True)
class Last:
    """A step's last attempt: the record that a plan compares, and what it left."""

    attempt: int
    key: int
    number: int  # where it stood in the document of the last run that had it
    stood: bool  # whether that was the last run of all
    title: str
    record: Record
    fingerprint: str
    handoff: Mapping[str, Any] | None
    written: Mapping[str, Any] | None
    log: str
    workloads: tuple[str, ...] = ()  # what it declared, the kinds of its servers included
    form: int = 1  # of the record's components
    accepted: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # workload -> its digest, the one that runs


def latest_run(journal: Journal) -> PastRun | None:
    """Return the last run; None where there was none."""
    return next(iter(_runs(journal.rows("SELECT * FROM runs ORDER BY id DESC LIMIT 1"))), None)


def runs(journal: Journal) -> tuple[PastRun, ...]:
    """List all runs, the last one first."""
    return _runs(journal.rows("SELECT * FROM runs ORDER BY id DESC"))


def _runs(rows: Iterable[Mapping[str, Any]]) -> tuple[PastRun, ...]:
    return tuple(
        PastRun(
            row["id"],
            row["started"],
            row["ended"],
            row["status"] or "",
            row["document"],
            row["target"],
            row["out"],
            row["outcomes"],
            row["steps"],
            row["options"],
            row["workflow"],
            row["pid"],
        )
        for row in rows
    )


def last_attempts(journal: Journal) -> dict[int, Last]:
    """Return the last attempt at each step by its key, of whichever run."""
    known = {each.key: each for each in known_steps(journal)}
    rows = journal.rows("SELECT * FROM last_attempts WHERE step <> ?", PLATFORM)
    return {row["step"]: _last(row, known.get(row["step"]) or _known(row)) for row in rows}


def _known(attempt: Mapping[str, Any]) -> Known:
    return Known(attempt["step"], attempt["number"], attempt["title"], attempt["playbook"])


def _last(row: Mapping[str, Any], step: Known) -> Last:
    return Last(
        attempt=row["id"],
        key=row["step"],
        number=step.number,
        stood=step.stood,
        title=row["title"],
        record=Record(
            row["run"],
            "interrupted" if row["outcome"] not in {"done", "failed"} else row["outcome"],
            row["components"],
            (row["ended"] or row["started"]) - row["started"],
        ),
        fingerprint=row["fingerprint"],
        handoff=row["handoff"],
        written=row["written"],
        log=row["log"],
        workloads=row["workloads"],
        form=row["form"],
        accepted=row["accepted"],
    )


def logs_of(journal: Journal, key: int) -> tuple[tuple[int, str], ...]:
    """Return the logs of a step with their runs, the last one first."""
    rows = journal.rows("SELECT run, log FROM attempts WHERE step = ? AND log <> '' ORDER BY id DESC", key)
    return tuple((row["run"], row["log"]) for row in rows)


def known_steps(journal: Journal) -> tuple[Known, ...]:
    """List every step that a run ever had, as its last document has it, and whether the last run's document has it."""
    found = journal.rows("SELECT step, number, title, playbook, identity, content, stood FROM steps ORDER BY step")
    return tuple(Known(*row.values()) for row in found)


@dataclass(frozen=True, slots=True)
class Past:
    """All that a plan needs of the journal; by the keys of steps, or (`recognised`) by a document's numbers."""

    last: Mapping[int, Last] = field(default_factory=dict)  # by step
    files: Ownership = field(default_factory=Ownership)
    workloads: frozenset[str] = frozenset()  # every workload and server that a run ever set out to create
    known: tuple[Known, ...] = ()
    declared: Mapping[int, Declared] = field(default_factory=dict)  # by number: the document's steps with their keys
    notes: Mapping[int, str] = field(default_factory=dict)  # by number: what it was called before, where it stood
    asked: Mapping[int, int] = field(
        default_factory=dict
    )  # always by key: the run that was to do it again, and has not


def past(journal: Journal, out: Path) -> Past:
    """Read what a plan needs."""
    rows = journal.rows("SELECT step, outcome, files_json, owned_json FROM last_attempts ORDER BY id")
    files, last = ownership(rows, out), last_attempts(journal)
    return Past(last, files, ever_made(journal), known_steps(journal), asked=_unfulfilled(journal, last))


def _unfulfilled(journal: Journal, last: Mapping[int, Last]) -> dict[int, int]:
    """Return the steps that a run was asked to do again, and no run has done since, each with that run.

    The last run has taken over what those before it left.
    """
    rows = journal.rows("SELECT id, asked_json FROM runs ORDER BY id DESC LIMIT 1")
    asked = {key: run or row["id"] for row in rows for key, run in row["asked"].items()}
    return {key: run for key, run in asked.items() if key not in last or not _done_since(last[key].record, run)}


def _done_since(record: Record, run: int) -> bool:
    return record.outcome == "done" and record.run >= run


def recognised(past: Past, steps: Sequence[Present]) -> Past:
    """Return what is known of a document's steps by their numbers. One that is not recognised gets a key of its own:
    its number where that is free.
    """
    matches, taken = match(steps, past.known), {each.key for each in past.known}
    declared: dict[int, Declared] = {}
    for each in steps:
        known = matches[each.number].known
        key = known.key if known else each.number if each.number not in taken else max(taken) + 1
        taken.add(key)
        declared[each.number] = Declared(key, each.number, each.title, each.playbook, each.id, each.content)
    by_key = {each.key: number for number, each in declared.items()}
    last = {by_key[key]: found for key, found in past.last.items() if key in by_key}
    notes = {number: said for number, found in matches.items() if (said := found.note)}
    return replace(past, last=last, files=past.files.numbered(by_key), declared=declared, notes=notes)


def ever_made(journal: Journal) -> frozenset[str]:
    """Name the workloads, and the kinds of servers, that any run ever set out to create."""
    return frozenset(row["name"] for row in journal.rows("SELECT name FROM made"))


def attempts_of(journal: Journal, run: int) -> Sequence[Mapping[str, Any]]:
    """List what a run worked on, in the order it began: step, title, phase, outcome, seconds, reasons, error, log."""
    told = "number, title, phase, outcome, started, ended, reasons_json, error_json, log"  # not what may be large
    rows = journal.rows(f"SELECT {told} FROM attempts WHERE run = ? AND step <> ? ORDER BY id", run, PLATFORM)  # noqa: S608 - a constant
    return [
        {
            "step": row["number"],
            "title": row["title"],
            "phase": row["phase"],
            "outcome": row["outcome"] or "interrupted",
            "seconds": round((row["ended"] or row["started"]) - row["started"], 3),
            "reasons": list(row["reasons"]),
            "error": row["error"],
            "log": row["log"],
        }
        for row in rows
    ]


def present(steps: Iterable[ResolvedStep]) -> list[Present]:
    """Return what a document's steps are recognised by."""
    found = []
    for each in steps:
        step, playbook = each.step, each.playbook.name if each.playbook else ""
        found.append(Present(step.number, step.title, playbook, step.id, _content(each)))
    return found


def with_asked(facts: Sequence[Facts], past: Past, forced: Collection[int], accepted: Collection[int]) -> list[Facts]:
    """Return the facts of the steps, with the run that each is to be done again for.

    These are the `forced` ones and those that an earlier run was asked for, with what relies on them; `accepted` ones
    stay as they are, and what relies only on these with them.
    """
    keys = {number: each.key for number, each in past.declared.items()}
    asked = {number: past.asked[key] for number, key in keys.items() if key in past.asked} | dict.fromkeys(forced, 0)
    asked = {number: run for number, run in asked.items() if number not in accepted}
    for each in facts:  # in the order of the document: what it relies on comes before it
        causes = [asked[number] for number in (each.number, *each.relies, *each.takes) if number in asked]
        run = 0 if 0 in causes else max(causes, default=None)
        if run is None or each.number in accepted or (run and each.record and _done_since(each.record, run)):
            continue
        asked[each.number] = run
    return [replace(each, asked=asked.get(each.number)) for each in facts]


def asked_of(past: Past, plan: Plan) -> dict[int, int]:
    """Return what a run records of what it was asked for: the run that each step, by its key, is to be done again for.

    A step that the document lacks may come back: what was asked of it stays.
    """
    there = {each.key for each in past.declared.values()}
    absent = {key: run for key, run in past.asked.items() if key not in there}
    facts = [step.facts for step in plan.steps]
    return absent | {past.declared[each.number].key: each.asked for each in facts if each.asked is not None}


def recorded(past: Past, desired: DesiredStep) -> Record | None:
    """Return the record of a step's last attempt, its components in the form and with the defaults of today."""
    last = past.last.get(desired.input.number)
    if last is None or desired.provisional:
        return last.record if last else None
    return replace(last.record, components=desired.meaning.aligned(last.record.components, last.form))


def as_accepted(desired: DesiredStep, accepted: Mapping[str, tuple[str, str]]) -> DesiredStep:
    """Return the step with the digests of the workloads that run, where these were accepted as they are."""
    runs = {name: digest for name, (new, digest) in accepted.items() if desired.digests.get(name) == new}
    stand = {name: accepted[name] for name in runs}
    return replace(desired, digests={**desired.digests, **runs}, accepted=stand) if runs else desired


def accept(desired: DesiredStep, past: Past, seen: Snapshot) -> tuple[DesiredStep, Past]:
    """Take the desired state of a finished step for the one that it was done with.

    Raises `UsageError` for one that is not finished, or of which something does not run.
    """
    number = desired.input.number
    last, record = past.last.get(number), recorded(past, desired)
    if last is None or record is None or record.outcome != "done":
        raise _refused(number, f"it {_ENDED[record.outcome]} in run {record.run}" if record else "it never ran")
    names = (*desired.digests, *desired.servers)
    if down := [f"`{name}`" for name in names if name not in seen or seen[name].state != "ready"]:
        raise _refused(number, f"{' and '.join(down)} {'is' if len(down) == 1 else 'are'} not running")
    if mixed := [f"`{name}`" for name in desired.digests if not seen[name].digest]:
        raise _refused(number, f"the copies of {' and '.join(mixed)} are not alike")
    if desired.provisional or desired.outdated:
        raise _refused(number, desired.outdated or "what it takes is known only after another step ran")
    said = changes(record.components, desired.components)
    others = {name: (new, seen[name].digest) for name, new in desired.digests.items() if seen[name].digest != new}
    said += [f"workload `{name}` was created from different inputs" for name in others if not said]
    said += missing(desired.files)
    record = replace(record, components=desired.components)
    last = replace(last, record=record, form=FORM, accepted={**desired.accepted, **others})
    accepted = f"accepted as unchanged: {', '.join(said) or 'nothing differs'}"
    note = "; ".join(filter(None, (past.notes.get(number), accepted)))
    there = past.files.without(number, desired.files.gone)
    past = replace(past, last={**past.last, number: last}, files=there, notes={**past.notes, number: note})
    desired = replace(desired, files=replace(desired.files, gone=()))
    return as_accepted(desired, last.accepted), past


def with_drift(past: Past, numbers: Iterable[int]) -> Past:
    """Return the past with a word to the notes of accepted steps that the target has to put right nevertheless."""
    said = "what differs in what runs is not accepted with it"
    return replace(past, notes={**past.notes, **{number: f"{past.notes[number]}; {said}" for number in numbers}})


def as_done(past: Past, desired: DesiredStep) -> tuple[Attempt, Result]:
    """Return what to record of an accepted step: done, with its desired state of now, in the time that it took."""
    number = desired.input.number
    last, declared = past.last[number], past.declared[number]
    attempt = Attempt(
        step=declared.key,
        title=declared.title,
        playbook=desired.playbook.name,
        fingerprint=desired.meaning.fingerprint,
        components=desired.meaning.to_record,
        workloads=last.workloads,
        reasons=(past.notes[number],),
        log=last.log,
        number=number,
        form=FORM,
        accepted=last.accepted,
    )
    told = dumped(desired.handoff)
    return attempt, Result("done", told, last.written, files=past.files.of(number), seconds=last.record.seconds)


def _refused(number: int, why: str) -> UsageError:
    hint = "leave `--accept-unchanged` out for it: it has to run"
    return UsageError(f"step {number} cannot be accepted as it is: {why}", hint=hint)


def _content(resolved: ResolvedStep) -> str:
    """Return a digest of a step in the document, without its title, its number and how it is carried out."""
    settings = resolved.settings
    anyhow = {normalise_key(name) for name in type(settings).model_fields if incidental(settings, name)}
    given = {key: field.value for key, field in resolved.step.inputs.items() if key not in anyhow}
    return fingerprint([resolved.step.prompt, given])
