"""A step whose prompt is a command: the one place where text of the document is executed."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.handoff import Handoff, JsonHandoff
from stepflow.playbook import Check, Evidence, Playbook, StepInput, Takes
from stepflow.workload import Declaration, Job, Live
from stepflow_playbooks.shell.settings import ShellSettings

_FENCED = re.compile(r"\A(```+|~~~+)[^\n]*\n(?P<code>.*?)\n?\1\s*\Z", re.DOTALL)
_INLINE = re.compile(r"\A`(?P<code>[^`\n]+)`\Z")


class Shell(Playbook[ShellSettings]):
    """Runs the prompt with `bash -euo pipefail -c` in the working directory."""

    name = "shell"
    summary = "Runs the prompt as a command, with bash, in the working directory."
    settings = ShellSettings
    gives = JsonHandoff
    takes = (Takes(Handoff),)
    executes_prompt = True

    def declare(self, step: StepInput[ShellSettings]) -> Declaration:
        """Want one job to be done."""
        code = command(step.prompt)
        words = ("bash", "-euo", "pipefail", "-c", code, "bash")
        job = Job(_first_line(code), words, timeout=step.settings.timeout, retries=step.settings.retries)
        return Declaration(jobs=(job,))

    def checks(self, step: StepInput[ShellSettings]) -> Collection[Check]:
        """Ask whether what the command creates is there."""
        return tuple(Check(f"creates {path}", partial(_exists, path), timeout=1.0) for path in step.settings.creates)


def command(prompt: str) -> str:
    """Take the command out of a prompt: all of it, or what a code fence or a pair of backticks round it holds."""
    text = prompt.strip()
    found = _FENCED.match(text) or _INLINE.match(text)
    return found["code"] if found else text


def _first_line(code: str, longest: int = 48) -> str:
    line = next((line.strip() for line in code.splitlines() if line.strip()), "")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


async def _exists(path: str, live: Live) -> Evidence:
    del live
    return _look_at(Path(path))


def _look_at(path: Path) -> Evidence:
    if not path.exists():
        raise PermanentError(f"there is no `{path}`", hint="let the command make it, or mend the field `Creates`")
    return f"`{path}` is there" + (f", {path.stat().st_size} bytes" if path.is_file() else "")
