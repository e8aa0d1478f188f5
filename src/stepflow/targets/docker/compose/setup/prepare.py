"""Makes the secrets of a platform and the files of its services. Runs in the service `setup`, before all others.

`setup.json` beside this file says what to make:

    {"files": [{"folder", "group", "files": {path: [piece, ...]}}], "folders": [{"path", "user", "group"}]}

A piece of a file is its text, or `{"secret": name}` (made when it is not there yet, then kept), or `{"given": name}` (a
secret that a person has to put there), or `{"variable": name}` of the environment. What is already as it should be is
not touched, so it may be run at any time.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SECRETS = Path("/secrets")
_BYTES = 24
_FILE, _FOLDER, _OWN_FOLDER, _CLOSED = 0o440, 0o750, 0o700, 0o400


class NotGivenError(Exception):
    """A secret that only a person can provide does not exist."""

    def __init__(self, path: Path) -> None:
        """Name it, and how it gets there."""
        super().__init__(
            f"the secret `{path.name}` is not there: `docker compose cp FILE setup:{path}`, then start again"
        )


def prepare(wanted: Mapping[str, Any], kept: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """Create all of it below the folders that `wanted` names; yield the paths that were written.

    Raises `NotGivenError` for a secret that a person has to put there.
    """
    for folder in wanted["folders"]:
        yield from _own_folder(Path(folder["path"]), folder["user"], folder["group"])
    for service in wanted["files"]:
        yield from _files(service, kept, variables)


def _own_folder(path: Path, user: int, group: int) -> Iterator[str]:
    if path.is_dir() and (path.stat().st_uid, path.stat().st_gid) == (user, group):
        return
    path.mkdir(mode=_OWN_FOLDER, exist_ok=True)
    os.chown(path, user, group)
    yield str(path)


def _files(service: Mapping[str, Any], kept: Path, variables: Mapping[str, str]) -> Iterator[str]:
    folder, group = Path(service["folder"]), service["group"]
    _passable(folder, group)
    for name, pieces in service["files"].items():
        path = folder / name
        for parent in reversed(path.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            _passable(folder / parent, group)
        text = "".join(_text(piece, kept, variables) for piece in pieces)
        if not path.exists() or _read(path) != text:
            _write(path, text, _FILE, group)
            yield str(path)
    stale = (
        path for path in folder.rglob("*") if path.is_file() and str(path.relative_to(folder)) not in service["files"]
    )
    for path in list(stale):
        path.unlink()


def _passable(folder: Path, group: int) -> None:
    folder.chmod(_FOLDER)
    os.chown(folder, -1, group)


def _text(piece: str | Mapping[str, str], kept: Path, variables: Mapping[str, str]) -> str:
    if isinstance(piece, str):
        return piece
    if "variable" in piece:
        return variables[piece["variable"]]
    path = kept / (piece.get("given") or piece["secret"])
    if "given" in piece:
        return _given(path)
    if not path.exists():
        _write(path, secrets.token_urlsafe(_BYTES), _CLOSED, -1)
    return _read(path)


def _given(path: Path) -> str:
    if not path.exists():
        raise NotGivenError(path)
    path.chmod(_CLOSED)
    return _read(path)


def _read(path: Path) -> str:
    return path.read_bytes().decode()  # `read_text` would change the ends of lines


def _write(path: Path, text: str, mode: int, group: int) -> None:
    """Write a file as a whole or not at all. It is on disk before it gets its name: a database keeps its password."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fchmod(descriptor, mode)  # before the owner: later it would take one more capability
        os.fchown(descriptor, -1, group)
        os.fsync(descriptor)
    temporary.replace(path)


def main() -> int:
    """Create what `setup.json` says and print which files were written, never what is in them."""
    here = Path(__file__).parent
    wanted = json.loads((here / "setup.json").read_text(encoding="utf-8"))
    try:
        for path in prepare(wanted, SECRETS, os.environ):
            sys.stdout.write(f"made {path}\n")
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror}: {error.filename}\n")
        return 1
    except NotGivenError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
