"""Writes a rendered tree that belongs to the user: edited files are kept, nothing is written outside of the root."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from stepflow.errors import PermanentError

BESIDE = ".stepflow-new"
FileOutcome = Literal["created", "updated", "identical", "kept", "conflicts", "removed"]
_LINK_OR_FOLDER = "not a regular file"  # in place of a digest; equals none
_NOT_REGULAR = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})  # opening a link, a folder, a socket
_LONGEST = 255  # bytes of a file's name
_TEMPORARY = 100  # bytes of it in the name of the file that is to take its place
_TOKEN = re.compile(r"[0-9a-f]{12}")  # at the end of that name


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of each path, and the new base: path -> digest of what was last rendered there."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    identical: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # edited by the user while the template did not change, or is gone
    conflicts: tuple[str, ...] = ()  # both changed, or a file of the user's own is in the way: not written
    removed: tuple[str, ...] = ()
    base: Mapping[str, str] = field(default_factory=dict)


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, as `base` holds it."""
    return hashlib.sha256(content).hexdigest()


def require_paths(paths: Collection[str]) -> None:
    """Raise `ValueError` for paths of a rendered tree that cannot be files below its root, all together."""
    for path in paths:
        if why := _outside(path) or _unnamable(path):
            raise ValueError(f"it renders `{path}`, which {why}")
        if parent := next((str(each) for each in PurePosixPath(path).parents if str(each) in paths), ""):
            raise ValueError(f"it renders `{path}` and `{parent}`, which cannot be a file and a folder at once")


def _outside(path: str) -> str:
    outside = any(part in ("", ".", "..") for part in path.split("/")) or "\\" in path or "\0" in path
    return "would be written outside of the output folder" if outside else ""


def _unnamable(path: str) -> str:
    try:
        longest = max(len(part.encode()) for part in path.split("/"))
    except UnicodeEncodeError:
        return "is not Unicode text"
    return f"has a name of {longest} bytes, and a file's name has {_LONGEST} at most" if longest > _LONGEST else ""


def write_tree(root: Path, tree: Mapping[str, bytes], base: Mapping[str, str], *, beside: bool = False) -> Written:
    """Write `tree` under `root` by a three-way merge: last rendered (`base`), on disk, rendered now.

    Each file is written atomically, an identical one not at all. A file that the user edited is kept if the template
    did not change, and is a conflict if both did; a missing one is written again. With `beside`, the new text of a
    conflict is written to `<path>.stepflow-new` and counts as seen from then on. A path of `base` that is no longer
    rendered is removed unless it was edited.

    Raises `PermanentError`, before anything is written, for a path that leaves the root; also when a folder on the way
    is a symbolic link or a file, and for a file that cannot be read.
    """
    for path in (*tree, *base):
        _refuse_outside(root, path)
    root.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, FileOutcome] = {}
    new_base: dict[str, str] = {}
    for path, content in tree.items():
        outcome, recorded = _write(root, path, content, base.get(path), beside=beside)
        outcomes[path] = outcome
        if recorded:
            new_base[path] = recorded
    for path in base.keys() - tree.keys():
        gone = _remove(root, path, base[path])
        if gone:
            outcomes[path] = gone
    return _report(outcomes, new_base)


def _report(outcomes: Mapping[str, FileOutcome], base: Mapping[str, str]) -> Written:
    def having(outcome: FileOutcome) -> tuple[str, ...]:
        return tuple(sorted(path for path, what in outcomes.items() if what == outcome))

    return Written(
        created=having("created"),
        updated=having("updated"),
        identical=having("identical"),
        kept=having("kept"),
        conflicts=having("conflicts"),
        removed=having("removed"),
        base=dict(sorted(base.items())),
    )


def _write(root: Path, path: str, content: bytes, base: str | None, *, beside: bool) -> tuple[FileOutcome, str | None]:
    """Write one file if that loses nothing of the user's; return the outcome and the digest to record."""
    new = digest(content)
    with _folder_of(root, path, make=True) as (folder, name):
        current = _digest_at(root / path, folder, name)
        if current == new:
            return "identical", new
        if current is None or current == base:
            _replace(folder, name, content)
            return ("created" if current is None else "updated"), new
        if new == base:
            return "kept", base
        if beside:
            _replace(folder, name + BESIDE, content)
            return "conflicts", new
        return "conflicts", base


def _remove(root: Path, path: str, base: str) -> FileOutcome | None:
    """Remove a file that is no longer rendered, and the folders that it leaves empty."""
    try:
        with _folder_of(root, path, make=False) as (folder, name):
            current = _digest_at(root / path, folder, name)
            if current is None:
                return None
            if current != base:
                return "kept"
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    _remove_empty(root, Path(path).parents)
    return "removed"


def clear_unfinished(root: Path, paths: Collection[str]) -> None:
    """Remove what a process that was killed left where it was to write files: half a file, and folders without any."""
    names: dict[str, set[str]] = {}  # folder -> how the temporary names in it begin
    for path in paths:
        folder, _, name = path.rpartition("/")
        names.setdefault(folder, set()).add(_temporary(name))
    for folder, begins in names.items():
        with suppress(OSError, PermanentError), _folder_of(root, f"{folder}/".lstrip("/"), make=False) as (opened, _):
            for name in [each.name for each in os.scandir(opened)]:
                begin, _, token = name.rpartition(".")
                if begin in begins and _TOKEN.fullmatch(token):
                    os.unlink(name, dir_fd=opened)
        _remove_empty(root, [Path(folder), *Path(folder).parents] if folder else [])


def _remove_empty(root: Path, folders: Iterable[Path]) -> None:
    """Remove folders below the root, from the innermost, as long as they are empty."""
    for each in folders:
        if each == Path():
            break
        try:
            (root / each).rmdir()
        except OSError:  # not empty
            break


def _temporary(name: str) -> str:
    return f".{name.encode()[:_TEMPORARY].decode(errors='ignore')}"


def _refuse_outside(root: Path, path: str) -> None:
    if _outside(path):
        hint = "a rendered path is relative, with `/` between its parts and no `..` in it"
        raise PermanentError(f"`{path}` would be written outside of `{root}`", hint=hint)


@contextmanager
def _folder_of(root: Path, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """Open the folder of `path`, following no symbolic link below the root; yield its descriptor and the name."""
    *parents, name = path.split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, parent in enumerate(parents, 1):
            if make:
                _make_folder(folder, parent)
            try:
                inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except NotADirectoryError as error:
                there = root.joinpath(*parents[:number])
                what = "a symbolic link" if there.is_symlink() else "a file"
                hint = f"move `{there}` away, then run again"
                raise PermanentError(f"`{there}` is {what} where a folder is needed", hint=hint) from error
            os.close(folder)
            folder = inner
        yield folder, name
    finally:
        os.close(folder)


def _make_folder(folder: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return


def _digest_at(path: Path, folder: int, name: str) -> str | None:
    """Return the digest of a file, None where there is none, `_LINK_OR_FOLDER` for either.

    Raises `PermanentError` for one that cannot be read: whether the user edited it is not known.
    """
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            return _LINK_OR_FOLDER
        raise unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return _LINK_OR_FOLDER
    with os.fdopen(handle, "rb") as file:
        return digest(file.read())


def unreadable(path: Path, error: OSError) -> PermanentError:
    """Return the error for a file in the rendered tree that cannot be read."""
    hint = "make it readable for your account, or move it away, then run again"
    return PermanentError(f"`{path}` cannot be read: {error.strerror}", hint=hint)


def _replace(folder: int, name: str, content: bytes) -> None:
    temporary = f"{_temporary(name)}.{secrets.token_hex(6)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:
            file.write(content)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
