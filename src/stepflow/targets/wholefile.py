"""Files that are whole or not there, readable by their owner alone, and folders that are removed as a whole."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old or the new text and never a part; an unchanged file is left alone."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    _written_beside(path, text, mode).replace(path)


def write_once(path: Path, text: str, *, errors: str = "strict") -> None:
    """Create a file that does not exist; when several do so at the same time, the first one's text stays.

    `errors` is what to do with what cannot be encoded, as `open` takes it.
    """
    temporary = _written_beside(path, text, 0o600, errors)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def remove_folder(path: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder with all that is in it, also where a symbolic link leads to it: then both."""
    if not path.is_symlink():
        shutil.rmtree(path, ignore_errors=ignore_errors)
        return
    shutil.rmtree(path.resolve(), ignore_errors=ignore_errors or not path.exists())
    path.unlink()


def _written_beside(path: Path, text: str, mode: int, errors: str = "strict") -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors=errors) as file:
        file.write(text)
    return temporary
