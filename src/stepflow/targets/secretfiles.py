"""Secrets: one file each, readable by their owner alone; random and made once, or given by a person."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.targets.resolved import Resolved
from stepflow.targets.wholefile import write_once

__all__ = ["inside", "require_given", "secret_file", "secret_text"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BYTES = 24


def secret_file(folder: Path, name: str) -> Path:
    """Return the path of a secret, made when it is not there: URL-safe text of 192 random bits, no newline."""
    path = folder / inside(name)
    if not path.exists():
        write_once(path, secrets.token_urlsafe(_BYTES))
    return path


def secret_text(folder: Path, name: str) -> str:
    """Return the text of a secret that was made or given.

    Raises `PermanentError` for one that is gone: another one would not be what was set up with it.
    """
    path = folder / inside(name)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = f"put `{path}` back, or `stepflow resume` makes another one (accounts made with the old one keep it)"
        raise PermanentError(f"the secret `{name}` is gone", hint=hint) from error


def require_given(folder: Path, workloads: Iterable[Resolved], known: Collection[str] = ()) -> None:
    """Raise `PermanentError`, saying where to write it, for a secret that a workload needs and that was not given;
    `known` are those that the target has elsewhere.
    """
    for workload in workloads:
        for secret in workload.secrets:
            if secret.given and secret.name not in known and not (folder / inside(secret.name)).exists():
                make = "" if folder.exists() else f"`mkdir -p -m 700 {folder}`, "
                raise PermanentError(
                    f"`{workload.name}` needs the secret `{secret.name}`, which only you know",
                    hint=f"{make}write it into `{folder / secret.name}` (mode 0600), then type the same again",
                )


def inside(name: str) -> str:
    """Return a name that can be a file in its folder and nothing else. Raises `PermanentError` for any other."""
    if not _NAME.fullmatch(name):
        raise PermanentError(f"`{name}` cannot be a file name here", hint="use letters, digits, `.`, `_` and `-`")
    return name
