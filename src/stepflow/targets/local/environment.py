"""Which Python runs a workload: stepflow's own where it has what is needed, otherwise an environment made with uv."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from stepflow.errors import PermanentError
from stepflow.targets.dependencies import requirements
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.logs import size, tail
from stepflow.targets.uv import uv

_INSTALLING = 900.0  # seconds that uv may take


async def python(layout: Layout, out: Path, context: str, say: Callable[[str], None]) -> str:
    """Give the interpreter for a rendered context; makes an environment first, where one is needed.

    Raises `PermanentError` when a requirement cannot be read or installed, `MachineError` when uv is not there.
    """
    needed = requirements(out / context / "pyproject.toml", out / "chassis" / "pyproject.toml")
    lacking = [text for text in needed if not satisfied(text)]
    if not lacking:
        return sys.executable
    return await _environment(layout, needed, lacking, say)


@cache
def satisfied(text: str) -> bool:
    """Tell whether a requirement is met in this interpreter, its extras included."""
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


async def _environment(layout: Layout, needed: tuple[str, ...], lacking: list[str], say: Callable[[str], None]) -> str:
    key = sha256("\n".join((sys.version, *needed)).encode()).hexdigest()[:12]
    folder = layout.envs / key
    program = folder / "bin" / "python"
    done = folder / "complete"
    if done.exists():
        return str(program)
    listed = ", ".join(f"`{each}`" for each in lacking)
    layout.envs.mkdir(exist_ok=True, mode=0o700)
    log = layout.log(f"environment-{key}")
    say(f"an environment with {listed}")
    tool = uv("install a dependency", "local")
    await _uv_run(log, listed, tool, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    await _uv_run(log, listed, tool, "pip", "install", "--compile-bytecode", "--python", str(program), *needed)
    done.touch()
    return str(program)


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
        raise PermanentError(f"{listed} cannot be installed:\n{last}", hint="mend `pyproject.toml`", log=str(log))
