"""Secrets: random, one file each, made once, readable by their owner alone."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from stepflow.errors import PermanentError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BYTES = 24


def secret_file(folder: Path, name: str) -> Path:
    """Give the path of a secret, made when it is not there: URL-safe text of 192 random bits, no newline."""
    path = folder / inside(name)
    if path.exists():
        return path
    temporary = path.with_name(f".{name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(_BYTES))
    try:
        os.link(temporary, path)  # fails when another one was faster, whose secret then holds
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path


def secret_text(folder: Path, name: str) -> str:
    """Give a secret itself."""
    return secret_file(folder, name).read_text(encoding="ascii")


def inside(name: str) -> str:
    """Give a name back that can be a file in its folder and nothing else; raises `PermanentError` for any other."""
    if not _NAME.fullmatch(name):
        raise PermanentError(f"`{name}` cannot be a file name here", hint="use letters, digits, `.`, `_` and `-`")
    return name
