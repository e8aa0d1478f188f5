"""Which Python runs a workload: stepflow's own where it has what is needed, otherwise an environment made with uv."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.logs import size, tail
from stepflow.targets.requirements import requirements, uv

_INSTALLING = 900.0  # seconds that uv may take


@dataclass(frozen=True, slots=True)
class Choice:
    """The interpreter for a rendered context."""

    program: str
    needed: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()  # what stepflow's own environment does not have
    folder: Path | None = None  # of an environment of its own
    missing: bool = False  # it has to be made


def texts(out: Path, context: str) -> dict[str, bytes]:
    """Read the files of a rendered context that name dependencies."""
    files = (out / name for name in _files(context))
    return {str(file): file.read_bytes() for file in files if file.exists()}


def rendered(tree: Mapping[str, bytes], context: str) -> dict[str, bytes]:
    """Return the same files of a tree of which some may be yet to be written."""
    return {name: tree[name] for name in _files(context) if name in tree}


def choose(layout: Layout, files: Mapping[str, bytes], there: Collection[str]) -> Choice:
    """Choose the interpreter for these dependencies: stepflow's own where it has them all. `there` are the names of the
    environments that were made.

    Raises `PermanentError` when one of them cannot be read.
    """
    needed = requirements(files)
    lacking = tuple(text for text in needed if not satisfied(text))
    if not lacking:
        return Choice(sys.executable)
    folder = layout.envs / sha256("\n".join((sys.version, *needed)).encode()).hexdigest()[:12]
    return Choice(str(_python(folder)), needed, lacking, folder, folder.name not in there)


def complete(layout: Layout) -> frozenset[str]:
    """Return the names of the environments that were made and still have their interpreter."""
    made = (mark.parent for mark in layout.envs.glob("*/complete"))
    return frozenset(folder.name for folder in made if _python(folder).exists())


def build(owner: str, chosen: Choice, actions: Iterable[Action]) -> tuple[Action, ...]:
    """Return the creation of an environment as an action, where it is missing and one of the actions starts in it."""
    if not (chosen.missing and any(each.verb in {"create", "replace"} for each in actions)):
        return ()
    listed = ", ".join(f"`{each}`" for each in chosen.lacking)
    return (Action("build", f"environment of {owner}", f"stepflow's own does not have {listed}", owner),)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _files(context: str) -> tuple[str, ...]:
    return (f"{context}/pyproject.toml", "chassis/pyproject.toml")


@cache
def satisfied(text: str) -> bool:
    """Return whether a requirement is met in this interpreter, its extras included.

    What the interpreter of a running process has installed is taken for a constant: it is looked at once.
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise PermanentError(f"the dependency `{text}` cannot be read: {error}") from error
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        distribution = Distribution.from_name(requirement.name)
    except PackageNotFoundError:
        return False
    if requirement.url or not requirement.specifier.contains(distribution.version, prereleases=True):
        return False
    inner = [Requirement(each) for each in distribution.requires or ()] if requirement.extras else []
    return all(
        satisfied(f"{each.name}{_bracketed(each.extras)}{each.specifier}")
        for each in inner
        for extra in requirement.extras
        if each.marker is not None
        and each.marker.evaluate({"extra": extra})
        and not each.marker.evaluate({"extra": ""})
    )


def _bracketed(extras: set[str]) -> str:
    return f"[{','.join(sorted(extras))}]" if extras else ""


async def make(layout: Layout, chosen: Choice, say: Callable[[str], None]) -> str:
    """Ensure that the chosen environment exists; return its interpreter.

    Raises `PermanentError` when a requirement cannot be installed, `MachineError` when uv is missing.
    """
    if chosen.folder is None or chosen.folder.name in complete(layout):
        return chosen.program
    listed = ", ".join(f"`{each}`" for each in chosen.lacking)
    layout.envs.mkdir(exist_ok=True, mode=0o700)
    log = layout.log(f"environment-{chosen.folder.name}")
    say(f"an environment with {listed}")
    tool = uv("install a dependency", "local")
    await _uv_run(log, listed, tool, "venv", "--quiet", "--clear", "--python", sys.executable, str(chosen.folder))
    await _uv_run(log, listed, tool, "pip", "install", "--compile-bytecode", "--python", chosen.program, *chosen.needed)
    (chosen.folder / "complete").touch()
    return chosen.program


async def _uv_run(log: Path, listed: str, *command: str) -> None:
    offset = size(log)
    with log.open("ab") as output:
        running = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
        try:
            async with asyncio.timeout(_INSTALLING):
                code = await running.wait()
        except TimeoutError as error:
            raise PermanentError(f"{listed} cannot be installed within {_INSTALLING:g} s", log=str(log)) from error
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
    if code != 0:
        last = "\n".join(tail(log, 15, offset))
        raise PermanentError(f"{listed} cannot be installed:\n{last}", hint="fix `pyproject.toml`", log=str(log))
