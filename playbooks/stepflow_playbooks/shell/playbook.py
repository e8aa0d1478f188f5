"""The playbook shell: the prompt is a command. No other text of a document is executed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stepflow.errors import PermanentError
from stepflow.handoff import Handoff, JsonHandoff
from stepflow.playbook import Check, CommandSettings, Evidence, Incidental, Playbook, StepInput, Takes
from stepflow.workload import Declaration, Job, Live

_FENCE = re.compile(r"(?P<indent>[ \t]*+)(?P<mark>`{3,}+(?=[^`]*\Z)|~{3,}+)[ \t]*+(?P<language>[^\s`]*)")
_SHELLS = frozenset({"", "bash", "sh", "shell", "zsh"})
_DEEPER = 3  # blanks by which the end of a fence may be indented more than its beginning
_INLINE = re.compile(r"\A`(?P<code>[^`\n]+)`\Z")


class ShellSettings(CommandSettings):
    """How the command is run."""

    timeout: Annotated[float | None, Incidental] = Field(
        None, gt=0, description="seconds the command may take; none: no limit"
    )
    retries: Annotated[int, Incidental] = Field(0, ge=0, le=20, description="how often it is retried after a failure")


class Shell(Playbook[ShellSettings]):
    """Runs the prompt with `bash -euo pipefail -c` in the working directory."""

    name = "shell"
    summary = "Runs the prompt as a command, with bash, in the working directory."
    settings = ShellSettings
    gives = JsonHandoff
    takes = (Takes(Handoff),)
    executes_prompt = True

    def declare(self, step: StepInput[ShellSettings]) -> Declaration:
        """Declare one job."""
        code = command(step.prompt)
        words = ("bash", "-euo", "pipefail", "-c", code, "bash")
        told = step.settings
        job = Job(
            _first_line(code),
            words,
            timeout=told.timeout,
            retries=told.retries,
            inputs=told.inputs,
            creates=told.creates,
            gives=told.given,
            hides=told.hidden,
            takes=told.env,
            secrets=told.secrets,
        )
        return Declaration(jobs=(job,))

    def checks(self, step: StepInput[ShellSettings]) -> Collection[Check]:
        """Return a check for each path that the command creates."""
        return tuple(Check(f"creates {path}", partial(_exists, path), timeout=1.0) for path in step.settings.creates)


def command(prompt: str) -> str:
    """Return the command in a prompt: what is fenced in it, verbatim; where nothing is, all of it.

    Fences that are marked as another language than a shell's are left out, unless all are. The reader of documents has
    removed a fence that holds all of the prompt.
    """
    fences = list(_fences(prompt))
    codes = [code for language, code in fences if language in _SHELLS] or [code for _, code in fences]
    if codes:
        return "\n".join(codes)
    inline = _INLINE.match(prompt.strip())
    # Blanks before a command mean nothing, and what ran before is not to run again for them.
    return inline["code"] if inline else prompt.lstrip().rstrip("\n")


def _fences(prompt: str) -> Iterator[tuple[str, str]]:
    """Find the fenced texts, each with its language; one that is not closed goes to the end."""
    lines = iter(prompt.split("\n"))
    for line in lines:
        if not (opens := _FENCE.match(line)):
            continue
        mark, indent = opens["mark"], len(opens["indent"])
        code = []
        for inside in lines:
            words = inside.lstrip(" \t")
            blanks = len(inside) - len(words)
            closes = len(words.rstrip()) >= len(mark) and not words.rstrip().strip(mark[0])
            if closes and blanks <= indent + _DEEPER:
                break
            code.append(inside[min(blanks, indent) :])
        yield opens["language"].lower(), "\n".join(code)


def _first_line(code: str, longest: int = 48) -> str:
    line = next((line.strip() for line in code.splitlines() if line.strip()), "")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


async def _exists(path: str, live: Live) -> Evidence:
    del live
    return _evidence(path)


def _evidence(path: str) -> Evidence:
    if has_magic(path):
        count = sum(1 for _ in Path().glob(path))
        said = f"{count} match `{path}`" if count else ""
    else:
        there = Path(path)
        said = f"`{path}` exists" + (f", {there.stat().st_size} bytes" if there.is_file() else "")
        said = said if there.exists() else ""
    if said:
        return said
    what = f"nothing matches `{path}`" if has_magic(path) else f"`{path}` does not exist"
    raise PermanentError(what, hint="let the command create it, or correct the field `Creates`")
