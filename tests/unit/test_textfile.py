"""What is given as a document and is not one: each command says what it is instead, and what to type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stepflow.cli import main

LONG = "a" * 300
START = "`stepflow init` writes a workflow to start with"


@pytest.fixture(autouse=True)
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.md").symlink_to("nowhere.md")
    Path("loop.md").symlink_to("loop.md")
    os.mkfifo("fifo.md")
    with Path("big.md").open("wb") as big:
        big.truncate(100 * 2**20)


@pytest.mark.parametrize("command", ["check", "show", "graph", "plan", "run"])
@pytest.mark.parametrize(
    ("document", "problem", "hint"),
    [
        ("broken.md", "`broken.md` is a link to `nowhere.md`, which is not there", START),
        (
            "loop.md",
            "`loop.md` cannot be read: too many levels of symbolic links",
            "`ls -l loop.md` shows where it leads",
        ),
        ("fifo.md", "`fifo.md` is a pipe, not a file", "save it first: `cat fifo.md > workflow.md`"),
        ("/dev/zero", "`/dev/zero` is a device, not a file", "name a file, such as `workflow.md`"),
        (
            "big.md",
            "`big.md` has more than the 64 MiB that a document can have",
            "split it into several workflows, and keep data in files of its own",
        ),
        (
            f"{LONG}.md",
            f"the path `{LONG[:60]}…` is too long: 303 characters",
            "use a shorter path, or `cd` into its folder",
        ),
        (
            f"{LONG}#b",
            f"the path `{LONG[:60]}…` is too long: 300 characters",
            "use a shorter path, or `cd` into its folder",
        ),
        ("broken.md/x", "there is no file `broken.md/x`", START),
    ],
)
def test_document_that_is_not_a_file_is_refused_with_what_it_is(
    command: str, document: str, problem: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, document]) == 2
    assert capsys.readouterr() == ("", f"error: {problem}\nhint: {hint}\n")
