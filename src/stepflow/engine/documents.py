"""The files that describe the whole platform (`compose.yaml`): its target gives them, the rendered tree has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stepflow.engine.canonical import fingerprint
from stepflow.engine.lying import on_disk
from stepflow.engine.survey import Survey
from stepflow.errors import PermanentError
from stepflow.events import Emit, Notice
from stepflow.journal import PLATFORM, Attempt, Journal, Result
from stepflow.render import Written, digest, write_tree
from stepflow.workload import Declaration


def describe(survey: Survey, journal: Journal, run: int, emit: Emit, declarations: Sequence[Declaration]) -> None:
    """Write what the target gives for these declarations; what lies there as it shall be is left alone.

    What was written is recorded like a step's files, as an attempt at `PLATFORM`. Raises `PermanentError`.
    """
    if survey.target is None:
        return
    out, past = survey.platform.site.out, survey.past
    tree = dict(sorted(survey.target.documents(declarations).items()))
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


def kept(out: Path, written: Written, base: Mapping[str, str]) -> Iterator[str]:
    """Say which files were left as the user has them though something else would have been rendered."""
    for path in written.conflicts:
        if path in base:
            yield f"you edited `{out / path}` and its template changed: your text is kept"
    found = [path for path in written.conflicts if path not in base]
    if found:
        yield _found(out, found)


def unwritable(out: Path, error: OSError) -> PermanentError:
    """Say that the rendered tree cannot be written."""
    hint = "free it, or give another folder with `--out`"
    return PermanentError(f"`{out}` cannot be written: {error.strerror}", hint=hint)


def _found(out: Path, paths: Sequence[str]) -> str:
    """Say that files lie there which no recorded run rendered, as after `down --data`, and how to get new ones."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    said = f"kept as it lay there before the first run: `{out / paths[0]}`{more}"
    return f"{said}; to have it rendered anew, delete it, or give another folder with `--out`"
