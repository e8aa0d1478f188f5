"""What this machine has and lacks for the local target."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

from stepflow import DISTRIBUTION
from stepflow.errors import MachineError, StepflowError
from stepflow.targets.contract import Finding
from stepflow.targets.local import ports
from stepflow.targets.local.environment import satisfied
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.pair import alive
from stepflow.targets.local.programs import REMEDY, look, privileges
from stepflow.targets.ports import by, free

KINDS = ("postgres", "nats", "valkey", "envoy")
GATEWAY = 8080  # the port that the reference platform's gateway wishes for
DISK = 2 * 1024**3  # bytes that should be free for data and logs
MEMORY = 2 * 1024**3  # bytes that the reference platform needs
_UNIT = 1024**3


def examine() -> tuple[Finding, ...]:
    """Check everything that the local target needs."""
    found = [_system(), _python(), _packages()]
    found += [finding for kind in KINDS for finding in _server(kind)]
    return (*found, _account(), _port(), _disk(Path.cwd()), _memory())


def _system() -> Finding:
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform == "linux":
        return Finding("system", ok=True, detail=name)
    if sys.platform == "darwin":
        lack = "when supervisor and guardian are both killed, their processes run on until `stepflow run` or `down`"
        return Finding("system", ok=True, detail=f"{name}: {lack}")
    return Finding("system", ok=False, detail=name, remedy="use Linux or macOS")


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding(
        "python", ok=ok, detail=f"{platform.python_version()} {sys.executable}", remedy="Python 3.11 or newer"
    )


def _packages() -> Finding:
    desired = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
    local = [each for each in desired if each.marker and each.marker.evaluate({"extra": "local"})]
    lacking = [each.name for each in local if not satisfied(f"{each.name}{each.specifier}")]
    if not lacking:
        return Finding("extra local", ok=True, detail=f"all {len(local)} packages are installed")
    return Finding("extra local", ok=False, detail=f"missing or too old: {', '.join(lacking)}", remedy=REMEDY)


def _server(kind: str) -> Iterator[Finding]:
    programs = tuple(look(kind))
    used = next((program for program in programs if not program.refused), None)
    ignored = "; ".join(f"ignored {each.path}: {each.refused}" for each in programs if each.refused)
    if used is None:
        yield Finding(kind, ok=False, detail=ignored or "not on PATH, and its wheel is not installed", remedy=REMEDY)
        return
    detail = f"{used.version} {used.path}"
    yield Finding(kind, ok=True, detail=f"{detail} ({ignored})" if ignored else detail)


def _account() -> Finding:
    if os.geteuid() != 0:
        return Finding("account", ok=True, detail="a normal user")
    try:
        prefix, account = privileges()
    except MachineError as error:
        return Finding("account", ok=False, detail=error.message, remedy=error.hint)
    how = "in a user namespace" if prefix else f"as account {account}"
    return Finding("account", ok=True, detail=f"root; PostgreSQL runs {how}")


def _port() -> Finding:
    if free(GATEWAY):
        return Finding(f"port {GATEWAY}", ok=True, detail="free")
    if own := _own(GATEWAY):
        return Finding(f"port {GATEWAY}", ok=True, detail=f"used by {own}, which runs in this directory")
    return Finding(f"port {GATEWAY}", ok=True, detail=f"taken{by(GATEWAY)}: the next free one is used instead")


def _own(number: int) -> str:
    """Name the process that a running platform of this directory has a port for; "" where none has it."""
    for file in sorted(Path(".stepflow").glob("*/local/ports.json")):
        layout = Layout(file.absolute().parents[1])
        with suppress(OSError, StepflowError):  # it is another user's, or damaged: other commands say so
            for key, kept in ports.read(layout).items():
                if kept == number and alive(layout):
                    return f"`{key.partition('/')[0]}` of `{layout.state.name}`"
    return ""


def _disk(where: Path) -> Finding:
    free = shutil.disk_usage(where).free
    detail = f"{free / _UNIT:.1f} GiB free in {where}"
    return Finding("disk", ok=free >= DISK, detail=detail, remedy=f"make {DISK / _UNIT:.0f} GiB free")


def _memory() -> Finding:
    import psutil  # noqa: PLC0415 - only here

    free = psutil.virtual_memory().available
    detail = f"{free / _UNIT:.1f} GiB available"
    return Finding("memory", ok=free >= MEMORY, detail=detail, remedy=f"make {MEMORY / _UNIT:.0f} GiB available")
