"""Files beside those of the steps: about the whole platform (`compose.yaml`), and left by steps that are gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from stepflow.engine.desired import DesiredStep
from stepflow.engine.disk import compare, kept, on_disk, unwritable
from stepflow.engine.history import Past
from stepflow.engine.meaning import fingerprint
from stepflow.engine.ownership import Ownership
from stepflow.errors import StepflowError
from stepflow.events import Emit, Notice
from stepflow.journal import PLATFORM, Attempt, Journal, Result
from stepflow.plan import FileDiff
from stepflow.render import digest, write_tree
from stepflow.targets.contract import Target


def compare_documents(target: Target | None, desired: Collection[DesiredStep], past: Past, out: Path) -> FileDiff | str:
    """Return how they differ from the disk, or in words why that is not known; changes nothing."""
    if target is None:
        return FileDiff()
    if any(each.provisional for each in desired):
        return "known once all steps are"
    try:
        tree = target.documents([each.declaration for each in desired])
    except StepflowError as error:
        return f"cannot be written: {error.message}"
    own = past.files.of(PLATFORM)
    found = compare({path: digest(content) for path, content in sorted(tree.items())}, past.files.base, own, out).diff
    gone = own.keys() - tree.keys()
    return replace(found, removed=sum(on_disk(out / path) == own[path] for path in gone))


def write_documents(
    documents: Mapping[str, bytes], past: Past, out: Path, *, journal: Journal, run: int, emit: Emit
) -> None:
    """Write the files of the target that describe the whole platform (`compose.yaml`); unchanged ones are left alone.

    What was written is recorded like a step's files, as an attempt at `PLATFORM`. Raises `PermanentError`.
    """
    tree = dict(sorted(documents.items()))
    rendered = {path: digest(content) for path, content in tree.items()}
    own = past.files.of(PLATFORM)
    base = {path: value for path, value in past.files.base.items() if path in tree or path in own}
    if rendered == base and all(on_disk(out / path) for path in tree):
        return
    attempt = journal.begin_step(run, Attempt(PLATFORM, "", "", fingerprint(rendered), files=rendered, owned=own))
    try:
        written = write_tree(out, tree, base)
    except OSError as error:
        raise unwritable(out, error) from error
    journal.end_step(attempt, Result("done", files=written.base))
    for said in kept(out, written, base):
        emit(Notice(said))


def stays(count: int, why: str, again: str) -> str:
    """Return why what no step has any more stays, and what removes it."""
    stay, them = ("stays", "it") if count == 1 else ("stay", "them")
    return f"{stay}: {why}; `{again}` removes {them} once all steps are done"


def remove_left_over(
    past: Ownership, rendered: Collection[str], out: Path, emit: Emit, *, why: str, again: str
) -> None:
    """Remove the files of steps that are gone, unless there is a reason `why` they stay; `again` is what to type then.

    Raises `PermanentError`.
    """
    files = past.left_over(rendered, out)
    if not files:
        return
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    if why:
        emit(Notice(f"{count} that no step renders any more {stays(len(files), why, again)}"))
        return
    try:
        write_tree(out, {}, files)
    except OSError as error:
        raise unwritable(out, error) from error
    emit(Notice(f"removed {count} that no step renders any more"))
