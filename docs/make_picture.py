"""Make `docs/run.svg`: the screen of a real run of the reference workflow, as a terminal of 96 columns shows it.

Needs `tmux`. The picture is what was on the screen, character by character; nothing in it is written by hand.

    .venv/bin/python docs/make_picture.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
STEPFLOW = Path(sys.executable).with_name("stepflow")
SESSION, COLUMNS, LINES, PATIENCE = "stepflow-picture", 96, 70, 180


def tmux(*arguments: str) -> str:
    """Call tmux."""
    return subprocess.run(["tmux", *arguments], capture_output=True, text=True, check=True).stdout


def screen_of_a_run(cwd: Path) -> str:
    """Run the workflow in a terminal and return what the screen shows when the prompt is back, colours included."""
    tmux(
        "new-session", "-d", "-s", SESSION, "-x", str(COLUMNS), "-y", str(LINES), "-c", str(cwd), "env", "PS1=$ ", "sh"
    )
    try:
        tmux("send-keys", "-t", SESSION, f"clear; {STEPFLOW} run workflow.md; tmux wait-for -S {SESSION}", "Enter")
        subprocess.run(["tmux", "wait-for", SESSION], check=True, timeout=PATIENCE)
        return tmux("capture-pane", "-e", "-p", "-t", SESSION)
    finally:
        tmux("kill-session", "-t", SESSION)


def main() -> None:
    """Run, look, draw, take down."""
    cwd = Path(tempfile.mkdtemp(prefix="stepflow-picture-"))
    shutil.copy(ROOT / "examples/microservices/workflow.md", cwd / "workflow.md")
    try:
        shown = screen_of_a_run(cwd).rstrip()
    finally:
        subprocess.run([str(STEPFLOW), "down", "--data"], cwd=cwd, capture_output=True, check=False)
        shutil.rmtree(cwd)
    lines = ["$ stepflow run workflow.md", *shown.splitlines()]
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text.from_ansi("\n".join(lines).removesuffix("\n$").rstrip("$ \n")), no_wrap=True, overflow="crop")
    console.save_svg(str(ROOT / "docs/run.svg"), title="stepflow run workflow.md")


if __name__ == "__main__":
    main()
