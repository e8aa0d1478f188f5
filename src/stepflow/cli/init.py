"""`stepflow init`: a workflow to start with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

STARTER = """\
# My first workflow

## Overview
Two steps: the second one relies on the first and takes what it hands off.

## Workflow Steps

### Step 1: Measure
- Playbook: shell
- Prompt: printf '{"files": %d}' "$(ls | wc -l)" > "$STEPFLOW_HANDOFF"
- Handoff: how many files there are

### Step 2: Report
- Playbook: shell
- RelyPreviousStep: Step 1 - the number to report
- Prompt: cat "$STEPFLOW_HANDOFFS"
- Handoff: none
"""


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; created if missing.")] = Path(),
) -> None:
    """Write a small workflow to start with.

    It is called `workflow.md`. An existing file is never overwritten.

    Example: `stepflow init my-platform`
    """
    from stepflow.errors import UsageError  # noqa: PLC0415 - keeps `--help` quick

    path = folder / "workflow.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError as error:
        there = path if path.exists() else folder
        raise UsageError(f"`{there}` already exists", hint="name another folder: `stepflow init DIR`") from error
    except OSError as error:
        problem = f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}"
        raise UsageError(problem, hint="name a folder in which you may write: `stepflow init DIR`") from error
    enter = "" if folder == Path() else f"cd {folder} && "
    sys.stdout.write(f"wrote `{path}`\nnext: `{enter}stepflow run workflow.md`\n")
