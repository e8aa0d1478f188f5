"""A step and its record: what it is recognised by, how the two compare, and how a change is accepted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stepflow.changes import changes
from stepflow.engine.canonical import fingerprint
from stepflow.engine.desired import DesiredStep
from stepflow.engine.history import Past
from stepflow.engine.matching import Present
from stepflow.engine.meaning import FORM, incidental
from stepflow.errors import UsageError
from stepflow.journal import Attempt, Result
from stepflow.plan import Record
from stepflow.registry import ResolvedStep
from stepflow.targets import Snapshot
from stepflow.workflow import normalise_key

_ENDED = {"failed": "failed", "interrupted": "was interrupted"}


def present(steps: Iterable[ResolvedStep]) -> list[Present]:
    """Return what a document's steps are recognised by."""
    found = []
    for each in steps:
        step, playbook = each.step, each.playbook.name if each.playbook else ""
        found.append(Present(step.number, step.title, playbook, step.id, _content(each)))
    return found


def recorded(past: Past, desired: DesiredStep) -> Record | None:
    """Return the record of a step's last attempt, its components in the form and with the defaults of today."""
    last = past.last.get(desired.input.number)
    if last is None or desired.provisional:
        return last.record if last else None
    return replace(last.record, components=desired.meaning.aligned(last.record.components, last.form))


def as_accepted(desired: DesiredStep, accepted: Mapping[str, tuple[str, str]]) -> DesiredStep:
    """Return it with the digests that run, of the workloads where these were accepted for what they are made from."""
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
    record = replace(record, components=desired.components)
    last = replace(last, record=record, form=FORM, accepted={**desired.accepted, **others})
    accepted = f"accepted as unchanged: {', '.join(said) or 'nothing differs'}"
    note = "; ".join(filter(None, (past.notes.get(number), accepted)))
    past = replace(past, last={**past.last, number: last}, notes={**past.notes, number: note})
    return as_accepted(desired, last.accepted), past


def as_done(past: Past, desired: DesiredStep) -> tuple[Attempt, Result]:
    """Return what to record of an accepted step: done, with its desired state of now."""
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
    files = {path: past.base[path] for path in past.paths.get(number, ())}
    return attempt, Result("done", desired.handoff.model_dump(mode="json"), last.written, files=files)


def _refused(number: int, why: str) -> UsageError:
    hint = "leave `--accept-unchanged` out for it: it has to run"
    return UsageError(f"step {number} cannot be accepted as it is: {why}", hint=hint)


def _content(resolved: ResolvedStep) -> str:
    """Return a digest of what a document says of a step, but for its title, its number and how it is carried out."""
    settings = resolved.settings
    anyhow = {normalise_key(name) for name in type(settings).model_fields if incidental(settings, name)}
    given = {key: field.value for key, field in resolved.step.inputs.items() if key not in anyhow}
    return fingerprint([resolved.step.prompt, given])
