"""Counts the files of stepflow that one call of the command line enters: those of which a function runs.

    python bench/entered.py run workflow.md

The output of the call comes first, then each file with the number of calls to its functions, then the count of files.
Without arguments it runs a workflow of one `shell` step that says hello, in a folder of its own. The code that a module
runs when it is imported, its class bodies included, does not count; what other processes run does not either.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

import stepflow

ROOT = Path(stepflow.__file__).parent
WORKFLOW = """# One step

## Step 1: Say hello
- Playbook: `shell`
- Prompt: `echo hello`
"""


def entered(arguments: list[str]) -> tuple[int, Counter[Path]]:
    """Return the exit code of `stepflow ARGUMENTS`, and how often it called a function of each file."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        del argument
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and not _importing(frame):
            calls[code.co_filename] += 1

    from stepflow.cli import main  # noqa: PLC0415 - importing it is not what is counted

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        exit_code = main(arguments)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    ours = {Path(name): number for name, number in calls.items() if Path(name).is_relative_to(ROOT)}
    return exit_code, Counter(ours)


def _importing(frame: FrameType) -> bool:
    """Return whether a module called the function while it was imported."""
    caller = frame.f_back
    return caller is not None and not caller.f_code.co_flags & inspect.CO_OPTIMIZED


def main(arguments: list[str]) -> int:
    """Run the call and print the files."""
    with tempfile.TemporaryDirectory() as folder:
        if not arguments:
            os.chdir(folder)
            Path("one-step.md").write_text(WORKFLOW, encoding="utf-8")
        exit_code, files = entered(arguments or ["run", "one-step.md"])
    for path in sorted(files):
        sys.stdout.write(f"{files[path]:6}  {path.relative_to(ROOT)}\n")
    sys.stdout.write(f"{len(files)} files entered\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
