"""The file of a document: read as UTF-8, or refused with what it is instead."""

from __future__ import annotations

import errno
import os
import stat
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from stepflow.errors import UsageError

LARGEST = 64 * 2**20  # bytes; the documents of a hundred thousand steps have a fifth of it
_SHOWN = 60  # characters of a path that is too long
_KINDS = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))
_LINK, _ANY = "`ls -l {}` shows where it leads", "name a file, such as `workflow.md`"


def read_text(file: str) -> str:
    """Read a file as UTF-8. Raises `UsageError` when that is not possible."""
    if not file:
        raise UsageError("the name of the file is empty", hint="write `FILE`, or `FILE#heading`")
    try:
        _require_regular(file)
        with Path(file).open("rb") as opened:
            text = opened.read(LARGEST + 1)
    except OSError as error:
        _refuse(file, error)
    if len(text) > LARGEST:
        problem = f"`{file}` has more than the {LARGEST >> 20} MiB that a document can have"
        raise UsageError(problem, hint="split it into several workflows, and keep data in files of its own")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        message = f"`{file}` is not UTF-8 text: byte 0x{text[error.start]:02x} in line {line}"
        raise UsageError(message, hint="save it as UTF-8") from error


def _require_regular(file: str) -> None:
    """Raise `UsageError` for what may have no end, or nothing to read."""
    mode = os.stat(file).st_mode  # noqa: PTH116 - an empty part of a path is not left out
    kind = next((name for found, name in _KINDS if found(mode)), "")
    if kind == "pipe":
        raise UsageError(f"`{file}` is a pipe, not a file", hint=f"save it first: `cat {file} > workflow.md`")
    if kind:
        raise UsageError(f"`{file}` is a {kind}, not a file", hint=_ANY)


def _refuse(file: str, error: OSError) -> NoReturn:
    """Raise `UsageError` that says why a file cannot be read."""
    path = Path(file)
    if isinstance(error, FileNotFoundError):
        near = get_close_matches(path.name, [item.name for item in path.parent.glob("*.md") if item.is_file()], n=1)
        hint = f"did you mean `{path.parent / near[0]}`?" if near else "`stepflow init` writes a workflow to start with"
        problem = f"there is no file `{file}`"
        if path.is_symlink():
            problem = f"`{file}` is a link to `{path.readlink()}`, which is not there"
    elif isinstance(error, IsADirectoryError):
        inside = sorted((item for item in path.glob("*.md") if item.is_file()), key=_likely)[:3]
        listed = " or ".join(f"`{item}`" for item in inside)
        hint = f"name a file: {listed}" if inside else f"`stepflow init {file}` writes a workflow to start with"
        problem = f"`{file}` is a folder"
    elif error.errno == errno.ENAMETOOLONG:
        hint = "use a shorter path, or `cd` into its folder"
        problem = f"the path `{file[:_SHOWN]}…` is too long: {len(file)} characters"
    else:
        hints = {errno.EACCES: f"it must be readable for you: `ls -l {file}`", errno.ELOOP: _LINK.format(file)}
        hint = hints.get(error.errno or 0, _ANY)
        problem = f"`{file}` cannot be read: {(error.strerror or str(error)).lower()}"
    raise UsageError(problem, hint=hint) from error


def _likely(file: Path) -> tuple[bool, bool, str]:
    """Order files by how likely they hold a workflow: `workflow.md`, which `init` writes, first; a README last."""
    return file.name != "workflow.md", file.stem.isupper(), file.name
