"""The locks that an image is made from: those beside its sources, or, where they do not fit them, resolved again."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stepflow.errors import MachineError, PermanentError
from stepflow.targets.building import lock
from stepflow.targets.building.interpreter import Interpreter
from stepflow.targets.building.lock import Pin
from stepflow.targets.building.program import run
from stepflow.targets.contract import Progress
from stepflow.targets.identity import Identity
from stepflow.targets.requirements import requirements, uv
from stepflow.targets.wholefile import write_whole

CHASSIS = "chassis"
_SECONDS = 300.0  # that resolving may take


@dataclass(frozen=True, slots=True)
class Lock:
    """A folder's lock as the image gets it."""

    text: str
    pins: tuple[Pin, ...]  # those for the image's Python


@dataclass(frozen=True, slots=True)
class Sources:
    """A folder of the rendered tree, and the library beside it that all services share."""

    out: Path
    context: str

    @property
    def folders(self) -> tuple[str, ...]:
        """Name the folders that make the image, the shared one first."""
        shared = (self.out / CHASSIS).is_dir() and self.context != CHASSIS
        return (CHASSIS, self.context) if shared else (self.context,)


async def locks(
    sources: Sources, python: Interpreter, who: Identity, say: Callable[[Progress], None]
) -> dict[str, Lock]:
    """Return the lock of each folder of the sources; what had to be resolved is remembered in the state directory.

    Raises `PermanentError` for a lock that cannot be read or dependencies that cannot be met, `MachineError` when uv or
    the package index is out of reach.
    """
    found: dict[str, Lock] = {}
    for number, folder in enumerate(sources.folders, 1):
        file = sources.out / folder / lock.NAME
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        projects = (sources.out / each / "pyproject.toml" for each in sources.folders[:number])
        wanted = requirements({str(each): each.read_bytes() for each in projects if each.exists()})
        lacking = lock.unmet(lock.read(text, file), wanted, python.markers)
        if lacking:
            file, new = await _resolved(file, text, wanted, python, who)
            if new:
                say(_remark(sources.out / folder, text, lacking))
            text = file.read_text(encoding="utf-8")
        found[folder] = Lock(text, tuple(pin for pin in lock.read(text, file) if pin.fits(python.markers)))
    return found


def _remark(folder: Path, text: str, lacking: tuple[str, ...]) -> Progress:
    listed = ", ".join(f"`{each}`" for each in lacking[:3]) + (", ..." if len(lacking) > 3 else "")  # noqa: PLR2004 - as above
    state = "does not meet" if text else "is missing; resolved were"
    return Progress(f"`{folder.name}/{lock.NAME}` {state} {listed}: its dependencies were resolved again", remark=True)


async def _resolved(
    file: Path, text: str, wanted: tuple[str, ...], python: Interpreter, who: Identity
) -> tuple[Path, bool]:
    """Return the file with what uv makes of the requirements, near to the old lock, and whether it is new."""
    key = sha256("\n".join((python.python, *wanted, text)).encode()).hexdigest()[:12]
    target = who.private / f"{file.parent.name}-{key}.lock"
    if target.exists():
        return target, False
    with tempfile.TemporaryDirectory(prefix="stepflow-lock-") as folder:
        asked, made = Path(folder) / "requirements.in", Path(folder) / lock.NAME
        asked.write_text("".join(f"{each}\n" for each in wanted), encoding="utf-8")
        made.write_text(text, encoding="utf-8")  # uv keeps what it can of its last output
        await _compile(asked, made, python, who.logs / f"lock-{file.parent.name}.log", file.parent)
        write_whole(target, made.read_text(encoding="utf-8"))
    return target, True


async def _compile(asked: Path, made: Path, python: Interpreter, log: Path, folder: Path) -> None:
    command = [uv("resolve dependencies", "docker"), "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--no-strip-extras", "--no-emit-index-url", "--no-annotate", "--no-header"]
    command += ["--python-version", python.python]
    command += ["--python", sys.executable]  # uv would look at every Python there is
    ended = await run(log, [*command, "--output-file", str(made), str(asked)], cwd=folder, seconds=_SECONDS)
    if ended.code == 0:
        return
    what = f"the dependencies of `{folder.name}` cannot be resolved"
    if ended.unreachable:
        raise MachineError(
            f"{what}: the package index is out of reach: {ended.unreachable}",
            hint="check the network, `HTTPS_PROXY`, and `UV_DEFAULT_INDEX` or `UV_INDEX`, then run again",
            log=str(log),
        )
    raise PermanentError(f"{what}:\n{ended.last()}", hint=f"fix `{folder / 'pyproject.toml'}`", log=str(log))
