"""What the engine gets to build an image from: an archive that is the same, byte for byte, whenever its sources are."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from stepflow.targets.building import lock
from stepflow.targets.building.dependencies import CHASSIS, Lock, Sources

OWN, SHARED = "wheels-own", "wheels-shared"
"""Folders of the archive with the wheels of the context, and of the library that all services share."""
DEFAULT = "Dockerfile.stepflow"
"""What the Dockerfile of a context without one is called in the archive."""
_FORMAT = "1"  # part of every hash: another way of building makes other images
_NEVER = frozenset({"__pycache__", "node_modules"})
_NEVER_SUFFIXES = (".pyc", ".egg-info", ".stepflow-new")
_NOT_AT_THE_TOP = frozenset({"tests", "build", "dist", "htmlcov", lock.NAME})
_NOT_AT_THE_TOP_SUFFIXES = (".md", ".dockerignore")
_SPECIAL = re.compile(r'["\\$]')


@dataclass(frozen=True, slots=True)
class BuildContext:
    """All that an image is made from but wheels, whose hashes are in the locks."""

    dockerfile: str  # its path in the archive
    content: Mapping[str, bytes | Path]  # path in the archive -> its bytes, or where it is read; sorted
    locks: Mapping[str, Lock]

    def hash(self, base: str) -> str:
        """Return 12 hexadecimal digits that stand for the sources, the locks and the base image's id."""
        return _hash(f"{_FORMAT}\n{base}\n{self.dockerfile}\n", self.content)

    def shared(self, base: str) -> str:
        """Return 12 hexadecimal digits for the part that all services have alike; "" where there is none."""
        alike = {path: what for path, what in self.content.items() if path.startswith(f"{CHASSIS}/")}
        return _hash(f"{_FORMAT}\n{base}\n", alike) if len(self.locks) > 1 else ""


def context(sources: Sources, locks: Mapping[str, Lock]) -> BuildContext:
    """Gather a context: its folder and the shared one, without tests, documents, caches and dotfiles."""
    content: dict[str, bytes | Path] = {}
    for folder in sources.folders:
        for file in _walk(sources.out / folder):
            content[file.relative_to(sources.out).as_posix()] = file
        content[f"{folder}/{lock.NAME}"] = locks[folder].text.encode()
    dockerfile = f"{sources.context}/Dockerfile"
    if dockerfile not in content:
        dockerfile = DEFAULT
        content[DEFAULT] = default_dockerfile()
    return BuildContext(dockerfile, dict(sorted(content.items())), locks)


@cache
def default_dockerfile() -> bytes:
    """Read the Dockerfile that a context without one is built with; its build argument `CONTEXT` is the folder."""
    return (files(__package__) / "Dockerfile").read_bytes()


def pack(made: BuildContext, wheels: Mapping[str, Mapping[str, Path]], labels: Mapping[str, str], to: BinaryIO) -> None:
    """Write the archive: the context, folders of wheels by their names, and the labels at the Dockerfile's end.

    There they are one instruction; given to the engine, each label would be one, with a container of its own.
    """
    content = dict(made.content)
    content[made.dockerfile] = (
        _bytes(content[made.dockerfile])
        + b"\nLABEL "
        + " ".join(f"{name}={_quoted(text)}" for name, text in labels.items()).encode()
    )
    for folder, some in wheels.items():
        content |= {f"{folder}/{name}": file for name, file in some.items()}
    with tarfile.open(fileobj=to, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, what in sorted(content.items()):
            entry = _entry(path, what)
            if entry.issym():
                archive.addfile(entry)
            elif isinstance(what, bytes):
                archive.addfile(entry, io.BytesIO(what))
            else:
                with what.open("rb") as file:
                    archive.addfile(entry, file)


def _walk(folder: Path, *, top: bool = True) -> Iterator[Path]:
    for item in sorted(folder.iterdir()):
        if item.name.startswith(".") or item.name in _NEVER or item.name.endswith(_NEVER_SUFFIXES):
            continue
        if top and (item.name in _NOT_AT_THE_TOP or item.name.endswith(_NOT_AT_THE_TOP_SUFFIXES)):
            continue
        if item.is_dir() and not item.is_symlink():
            yield from _walk(item, top=False)
        elif item.is_symlink() or item.is_file():
            yield item


def _entry(path: str, what: bytes | Path) -> tarfile.TarInfo:
    """Describe an entry by what it is, not by when, by which user and on which machine it was made."""
    entry = tarfile.TarInfo(path)
    entry.mode = 0o644
    if isinstance(what, bytes):
        entry.size = len(what)
    elif what.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(what.readlink()), 0o777
    else:
        state = what.stat()
        entry.size = state.st_size
        entry.mode = 0o755 if state.st_mode & 0o100 else 0o644
    return entry


def _hash(head: str, content: Mapping[str, bytes | Path]) -> str:
    total = sha256(head.encode())
    for path, what in content.items():
        entry = _entry(path, what)
        kind = f"{entry.type!r} {entry.mode:o} {entry.linkname}"
        digest = sha256(b"" if entry.issym() else _bytes(what)).hexdigest()
        total.update(f"{path}\0{kind}\0{digest}\n".encode())
    return total.hexdigest()[:12]


def _quoted(text: str) -> str:
    """Quote a text as Dockerfiles do, so that nothing in it is an instruction or a variable."""
    return '"' + _SPECIAL.sub(r"\\\g<0>", " ".join(text.splitlines())) + '"'


def _bytes(what: bytes | Path) -> bytes:
    return what if isinstance(what, bytes) else what.read_bytes()
