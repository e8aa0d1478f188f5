"""The contents of files that commands read and create, as digests: of a path, a folder, or all that a glob matches."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import has_magic
from pathlib import Path

from stepflow.render.tree import unreadable

_KEPT_OUT = (".stepflow/", ".git/")
NOTHING = ""
"""The digest where nothing is there."""


def contents(pattern: str, root: Path, without: Iterable[str] = ()) -> str:
    """Return one digest of the names and contents of all files that a path or glob below `root` names, `without` those
    that others name, and without the state of platforms and of git unless the pattern begins with it.

    `NOTHING` where there is none. A folder stands for all that is in it; of a link to a folder, only where it leads is
    read. Raises `PermanentError` for what cannot be read.
    """
    found = {file for path in matches(pattern, root) for file in _files(path)}
    found -= {file for each in without for path in matches(each, root) for file in _files(path)}
    if not pattern.startswith(_KEPT_OUT):
        found = {file for file in found if not os.path.relpath(file, root).startswith(_KEPT_OUT)}
    if not found:
        return NOTHING
    digest = hashlib.sha256()
    for file in sorted(found):
        with suppress(FileNotFoundError):  # it was removed just now
            digest.update(f"{os.path.relpath(file, root)}\0{_told(file)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def matches(pattern: str, root: Path) -> list[Path]:
    """Return what a path or glob below `root` names."""
    if has_magic(pattern):
        return [*root.glob(pattern)]
    path = root / pattern
    return [path] if os.path.lexists(path) else []


def _files(path: Path) -> Iterator[Path]:
    """Return each file at or below a path; a link to a folder counts as one."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    try:
        for folder, folders, names in os.walk(path, onerror=_raise):
            yield from (Path(folder, name) for name in names)
            yield from (link for name in folders if (link := Path(folder, name)).is_symlink())
    except FileNotFoundError:  # likewise
        return
    except OSError as error:
        raise unreadable(Path(error.filename or path), error) from error


def _raise(error: OSError) -> None:
    raise error


def _told(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode) and not path.is_file():
        return f"-> {path.readlink()}"
    if not path.is_file():  # neither a pipe nor a device has contents
        return f"{stat.S_IFMT(mode):o}"
    try:
        with path.open("rb") as file:
            executable = "x" if path.stat().st_mode & stat.S_IXUSR else ""
            return hashlib.file_digest(file, "sha256").hexdigest() + executable
    except PermissionError as error:
        raise unreadable(path, error) from error
