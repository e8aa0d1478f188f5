"""Working directories that go away, and names that are not text: words, not a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEPFLOW = Path(sys.executable).with_name("stepflow")
DOCUMENT = "# One\n\n## Step 1: Go\n- Playbook: shell\n- Prompt: echo hi\n"
ODD = os.fsdecode(b"w\xff.md")
Done = subprocess.CompletedProcess[str]


def stepflow(cwd: Path, *arguments: str, **environment: str) -> Done:
    env = {**os.environ, **environment}
    return subprocess.run(
        [STEPFLOW, *arguments], cwd=cwd, capture_output=True, timeout=120, check=False, env=env, text=True
    )


def said(done: Done) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_document_whose_name_is_not_utf_8_can_be_read_and_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / ODD).write_text(DOCUMENT, encoding="utf-8")
    for command in ("check", "show", "graph"):
        done = stepflow(tmp_path, command, ODD)
        assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(stepflow(tmp_path, "show", ODD, "--json").stdout)["file"] == ODD
    refused = (2, "", "error: the path `w\\udcff.md` is not UTF-8 text\nhint: rename it: `mv OLD NEW`\n")
    for command in ("plan", "run"):
        assert said(stepflow(tmp_path, command, ODD)) == refused
    missing = "error: there is no file `x\\udcff.md`\nhint: did you mean `w\\udcff.md`?\n"
    assert said(stepflow(tmp_path, "run", os.fsdecode(b"x\xff.md"))) == (2, "", missing)


def test_directory_or_output_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    for each in (tmp_path, folder):
        (each / "w.md").write_text(DOCUMENT, encoding="utf-8")
    inside = stepflow(folder, "run", "w.md")
    assert (inside.returncode, inside.stdout) == (2, "")
    assert inside.stderr.endswith("/d\\udcff/.stepflow` is not UTF-8 text\nhint: rename it: `mv OLD NEW`\n")
    refused = "error: the path `out\\udcff` is not UTF-8 text\nhint: rename it: `mv OLD NEW`\n"
    assert said(stepflow(tmp_path, "run", "w.md", "--out", os.fsdecode(b"out\xff"))) == (2, "", refused)


@pytest.mark.parametrize("removal", ['rm -rf "$PWD"', 'mv "$PWD" "$PWD.moved"'])
@pytest.mark.parametrize("how", [(), ("--json",)])
def test_run_whose_directory_a_command_removes_stops_and_says_so(
    tmp_path: Path, removal: str, how: tuple[str, ...]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "w.md").write_text(
        DOCUMENT.replace("echo hi", removal) + "\n## Step 2: On\n- Playbook: shell\n- Prompt: echo two\n", "utf-8"
    )
    done = stepflow(here, "run", "w.md", *how)
    lost = (
        f"`{here}/.stepflow/one` was removed or moved: this run cannot be recorded, and nothing else starts; "
        "run it again once no command does that"
    )
    assert done.returncode == 1
    if how:
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert [each["message"] for each in events if each["event"] == "notice"] == [lost]
        ended = {each["step"]: each["outcome"] for each in events if each["event"] == "step_finished"}
        assert ended == {1: "done", 2: "skipped"}
        assert events[-1]["resume"] == ""
    else:
        assert done.stdout.count(lost) == 1
        assert done.stderr == "skipped: step 2 (On), because the run ended\n"
    assert not here.exists()


def test_command_whose_directory_was_removed_says_where_to_go(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'rmdir "$PWD"; exec "{STEPFLOW}" "$@"'
    for command in ("run w.md", "status", "init", "doctor", "playbooks", "--help"):
        gone.mkdir(exist_ok=True)
        line = ["bash", "-c", script, "stepflow", *command.split()]
        done = subprocess.run(line, cwd=gone, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            "error: the working directory does not exist any more\n"
            "hint: `cd` into one that exists: `cd ..`, or `cd` alone\n"
        )
