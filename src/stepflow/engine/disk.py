"""The rendered tree on disk: compared three ways, with what is rendered now and what was rendered last."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.plan import FileDiff
from stepflow.render import Written, digest
from stepflow.render.tree import unreadable

_NO_FILE = frozenset({errno.EISDIR, errno.ELOOP, errno.ENXIO})  # something else is there: it equals nothing


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference in numbers, and the files that stay as the user edited them: their digests and their content."""

    diff: FileDiff = field(default_factory=FileDiff)
    kept: Mapping[str, str] = field(default_factory=dict)
    edited: Mapping[str, bytes] = field(default_factory=dict)


def compare(rendered: Mapping[str, str], base: Mapping[str, str], last: Collection[str], out: Path) -> Drift:
    """Compare the digests of a rendered tree with the disk, as `write_tree` will; writes nothing.

    `base` has what was last rendered at each path, `last` the paths that the step itself rendered last.
    """
    kept: dict[str, str] = {}
    content: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    conflicts, gone = [], []
    for path, new in rendered.items():
        found = _read(out / path)
        current = digest(found) if isinstance(found, bytes) else found
        if current is None:
            counts["new"] += 1
            gone += [path] if path in last else []
        elif current == new:
            counts["same"] += 1
        elif current == base.get(path):
            counts["changed"] += 1
        else:
            kept[path] = current
            content[path] = found if isinstance(found, bytes) else b""
            if new != base.get(path):
                conflicts.append(path)
    edited = tuple(path for path in kept if path not in conflicts)
    diff = FileDiff(counts["new"], counts["changed"], counts["same"], edited, tuple(conflicts), tuple(gone))
    return Drift(diff, kept, content)


def on_disk(path: Path) -> str | None:
    """Return the digest of a file, None where there is no file. Raises `PermanentError` for one that cannot be read."""
    found = _read(path)
    return digest(found) if isinstance(found, bytes) else found


def _read(path: Path) -> bytes | str | None:
    """Return the content of a file; None where there is none, a text for something else that is in its place."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise unreadable(path, error) from error
        return str(error.errno)


def kept(out: Path, written: Written, base: Mapping[str, str]) -> Iterator[str]:
    """Report the files that were left as the user has them though something else would have been rendered."""
    for path in written.conflicts:
        if path in base:
            yield f"you edited `{out / path}`, and what is rendered there changed: your text is kept"
    found = [path for path in written.conflicts if path not in base]
    if found:
        yield _found(out, found)


def unwritable(out: Path, error: OSError) -> PermanentError:
    """Return the error for a rendered tree that cannot be written."""
    hint = "make it a folder that you can write to, or choose another one with `--out`"
    return PermanentError(f"`{out}` cannot be written: {error.strerror}", hint=hint)


def _found(out: Path, paths: Sequence[str]) -> str:
    """Report files that no recorded run rendered, as after `down --data`, and how to get new ones."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    them = "them" if more else "it"
    hint = f"to regenerate {them}, delete {them} or choose another folder with `--out`"
    return f"kept your existing `{out / paths[0]}`{more}; {hint}"
