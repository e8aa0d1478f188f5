"""The files about the whole platform (`compose.yaml`): what a run would do to them, and writing them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from stepflow.engine.desired import DesiredStep
from stepflow.engine.disk import compare, kept, on_disk, unwritable
from stepflow.engine.history import Past
from stepflow.engine.meaning import fingerprint
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
    own = past.paths.get(PLATFORM, frozenset())
    found = compare({path: digest(content) for path, content in sorted(tree.items())}, past.base, own, out).diff
    return replace(found, removed=sum(on_disk(out / path) == past.base[path] for path in own - tree.keys()))


def write_documents(
    documents: Mapping[str, bytes], past: Past, out: Path, *, journal: Journal, run: int, emit: Emit
) -> None:
    """Write the files of the target that describe the whole platform (`compose.yaml`); unchanged ones are left alone.

    What was written is recorded like a step's files, as an attempt at `PLATFORM`. Raises `PermanentError`.
    """
    tree = dict(sorted(documents.items()))
    rendered = {path: digest(content) for path, content in tree.items()}
    own = past.paths.get(PLATFORM, frozenset())
    base = {path: value for path, value in past.base.items() if path in tree or path in own}
    if rendered == base and all(on_disk(out / path) for path in tree):
        return
    attempt = journal.begin_step(run, Attempt(PLATFORM, "", "", fingerprint(rendered), files=rendered))
    try:
        written = write_tree(out, tree, base)
    except OSError as error:
        raise unwritable(out, error) from error
    journal.end_step(attempt, Result("done", files=written.base))
    for said in kept(out, written, base):
        emit(Notice(said))
