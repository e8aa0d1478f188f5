"""A target that stepflow does not know: it comes by its entry point, and works on the whole command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOURTH = Path(__file__).parent / "fourth"
DOCUMENT = """# Shop

## Step 1: Front
- Playbook: service-discovery
- Prompt: a gateway

## Step 2: Note
- Playbook: shell
- Prompt: true
"""

Call = Callable[..., str]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Run the command line in an environment where the fourth target is installed."""
    info = tmp_path / "site" / "ledger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ledger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stepflow.targets]\nledger = ledger:PROVIDER\n")
    (tmp_path / "w.md").write_text(DOCUMENT)
    path = os.pathsep.join([str(FOURTH), str(info.parent), os.environ.get("PYTHONPATH", "")])

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "stepflow", *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path, "COLUMNS": "120", "NO_COLOR": "1"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    return run


def test_it_is_shorter_than_150_lines() -> None:
    assert len((FOURTH / "ledger.py").read_text().splitlines()) < 150


def test_its_option_is_in_the_help_with_the_target_that_takes_it(call: Call) -> None:
    shown = call("run", "--help")
    assert "With --target ledger" in shown
    assert "--ticket" in shown


def test_doctor_asks_it_too(call: Call) -> None:
    assert "writes for T-1" in call("doctor", "--target", "ledger", "--ticket", "T-1")


def test_another_target_refuses_its_option_and_says_who_takes_it(call: Call) -> None:
    assert call("run", "w.md", "--ticket", "T-1", code=2) == (
        "error: the target local does not take `--ticket`\n"
        "hint: leave it out, or add `--target ledger`; local takes: none\n"
    )


def test_a_platform_is_planned_run_seen_reused_and_taken_down_on_it(call: Call) -> None:
    on = ("--target", "ledger", "--ticket", "T-1")
    planned = call("plan", "w.md", *on)
    assert "plan for `shop` on ledger: 2 to run\n" in planned
    assert "      create   service-discovery: it does not exist\n" in planned
    call("run", "w.md", *on, code=1)  # the checks of a gateway that does not run fail, and say so
    told = json.loads(call("status", "--json"))
    assert told["options"] == {"ticket": "T-1"}
    assert {each["name"]: each["entries"] for each in told["services"]}["gateway"] == ["gateway-1"]
    assert "keep     gateway: unchanged and ready\n" in call("plan", "w.md", *on)
    assert call("logs", "gateway") == "gateway was written down for T-1\n"
    assert "option `ticket` changed T-1 -> T-2\n" in call("plan", "w.md", "--target", "ledger", "--ticket", "T-2")
    removed = call("down", "--data")
    assert "removed gateway\n" in removed
    assert "removed its ledger, and" in removed
