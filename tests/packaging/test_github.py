"""GitHub reads these files only after a push, so their schemas are checked here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(set(GITHUB.glob("ISSUE_TEMPLATE/*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"})


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
    ],
)
def test_file_follows_its_schema(schema: str, files: list[Path]) -> None:
    assert files
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_call_targets_that_the_makefile_has() -> None:
    """A renamed target would be noticed first by a red build of everybody else's change."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    called = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE))
    for file in (*WORKFLOWS, ROOT / ".ci/run"):
        called |= set(re.findall(r"\bmake ([a-z]+)", file.read_text("utf-8")))
    assert called >= {"quick", "test", "fast", "slow"}
    assert called - targets == set()


def test_workflows_pin_what_they_use() -> None:
    used = {line for file in WORKFLOWS for line in re.findall(r"uses: (\S+)", file.read_text("utf-8"))}
    assert {each for each in used if not re.search(r"@v\d|^\./", each)} == set()
