"""Wheels, fetched on the host once for all images with the same Python and platform."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from stepflow.errors import MachineError, PermanentError, install_hint
from stepflow.targets.building.cache import cache
from stepflow.targets.building.interpreter import Interpreter
from stepflow.targets.building.lock import Pin
from stepflow.targets.building.program import Ended, run

_SECONDS = 900.0  # that fetching may take
_AGAIN = 0.1  # seconds between two attempts to take a lock that another process holds
_FETCHING = "fetching-"  # begins the folders of downloads that are not complete
_NONE = ("no matching distribution found for ", "could not find a version that satisfies the requirement ")


async def wheels(pins: Collection[Pin], python: Interpreter, log: Path, say: Callable[[str], None]) -> dict[Pin, Path]:
    """Return the wheel of each pin, whose hash was just checked; those that are not there are fetched, in one go.

    Raises `PermanentError` for a package without a wheel for the image's platform, `MachineError` when the package
    index is out of reach.
    """
    house = cache() / "wheels" / f"{python.python}-{python.platform}"
    house.mkdir(parents=True, exist_ok=True)
    async with locked(house / ".lock"):
        for left in house.glob(f"{_FETCHING}*"):
            shutil.rmtree(left)  # of a process that was killed: the lock is ours
        found = await asyncio.to_thread(_found, house, pins)
        lacking = [pin for pin in pins if pin not in found]
        if lacking:
            say(f"fetching {lacking[0].name if len(lacking) == 1 else f'{len(lacking)} wheels'}")
            await _fetch(house, lacking, python, log)
            found |= await asyncio.to_thread(_found, house, lacking)
    missing = [pin for pin in pins if pin not in found]
    if missing:
        raise PermanentError(f"pip fetched no wheel of `{missing[0].name}=={missing[0].version}`", log=str(log))
    return found


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Hold a lock that ends with its process; waits for another process, or another task, that has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_AGAIN)
        yield
    finally:
        os.close(descriptor)


def _found(house: Path, pins: Collection[Pin]) -> dict[Pin, Path]:
    """Find the wheels that are there; a file whose content is not what its lock says counts as absent."""
    there: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(house.glob("*.whl")):
        try:
            name, version, *_ = parse_wheel_filename(file.name)
        except InvalidWheelFilename:
            continue
        there.setdefault((name, str(version)), []).append(file)
    files = {pin: there.get((pin.name, str(pin.version)), []) for pin in pins}
    return {pin: file for pin, some in files.items() for file in some if _digest(file) in pin.hashes}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return f"sha256:{file_digest(content, 'sha256').hexdigest()}"


async def _fetch(house: Path, lacking: list[Pin], python: Interpreter, log: Path) -> None:
    """Fetch into a folder of its own, then move what came: a wheel in the wheelhouse is always complete."""
    if find_spec("pip") is None:
        raise MachineError("`pip` is needed to fetch wheels", hint=install_hint("docker"))
    with tempfile.TemporaryDirectory(prefix=_FETCHING, dir=house) as folder:
        asked = Path(folder) / "requirements.txt"
        asked.write_text("".join(f"{pin}\n" for pin in lacking), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check"]
        command += ["--progress-bar=off", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", python.python, "--dest", folder, "--requirement", str(asked)]
        command += [f"--platform={each}" for each in python.platforms()]
        ended = await run(log, command, cwd=Path(folder), seconds=_SECONDS)
        if ended.code != 0:
            raise _failure(ended, python, log)
        _move(Path(folder), house)


def _move(folder: Path, house: Path) -> None:
    for file in folder.glob("*.whl"):
        file.replace(house / file.name)


def _failure(ended: Ended, python: Interpreter, log: Path) -> MachineError | PermanentError:
    if ended.unreachable:
        return MachineError(
            f"wheels cannot be fetched: the package index is out of reach: {ended.unreachable}",
            hint="check the network, `HTTPS_PROXY` and `pip config list`, then run again",
            log=str(log),
        )
    for line in ended.lines:
        for sign in _NONE:
            if (at := line.lower().find(sign)) >= 0:
                what = line[at + len(sign) :].split(" (from")[0].strip()
                return PermanentError(
                    f"`{what}` has no wheel for Python {python.python} on {python.platform}, which the base image has",
                    hint="pin a version that has one, build the wheel and name its folder in `PIP_FIND_LINKS`, or take "
                    "another `--base-image`",
                    log=str(log),
                )
    return PermanentError(f"wheels cannot be fetched:\n{ended.last()}", hint="see the log", log=str(log))
