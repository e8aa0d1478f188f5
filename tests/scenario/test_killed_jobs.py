"""A job whose engine was killed: `resume` waits while its guard lets it end, and does what it finished not again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from waiting import eventually

STEPFLOW = Path(sys.executable).with_name("stepflow")
SLOW = """\
exec 2> errors; trap 'touch asked' TERM
  mkdir alone || echo overlap >> count
  echo begun >> count; touch up
  while test ! -e asked; do sleep 0.02 || true; done
  n=0; while test $n -lt 50 -a $(grep -c "begun\\|other" count) -lt 2; do sleep 0.02 || true; n=$((n+1)); done
  rmdir alone || true; echo over >> count; exit {code}"""
"""Goes on for a second after it was asked to end, unless something else begins beside it."""
OTHER = "test ! -e alone || echo overlap >> count; echo other >> count"


def write(cwd: Path, prompt: str) -> None:
    (cwd / "w.md").write_text(f"# Chain\n\n## Step 1: Slow\n- Playbook: shell\n- Prompt: {prompt}\n", encoding="utf-8")


def resumed_beside_its_guard(cwd: Path) -> None:
    """Kill a run in its job, and resume it while the guard waits for the job."""
    with subprocess.Popen([STEPFLOW, "run", "w.md"], cwd=cwd, stdout=subprocess.DEVNULL) as first:
        assert eventually((cwd / "up").exists, within=20)
        first.kill()
    assert eventually((cwd / "asked").exists, within=20)
    if (cwd / "next.md").exists():
        (cwd / "next.md").replace(cwd / "w.md")
    second = subprocess.run([STEPFLOW, "resume"], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 0, second.stderr


def test_a_job_that_succeeds_after_its_engine_was_killed_is_not_run_again(tmp_path: Path) -> None:
    write(tmp_path, SLOW.format(code=0))
    resumed_beside_its_guard(tmp_path)
    assert (tmp_path / "count").read_text() == "begun\nover\n"


def test_a_job_that_fails_after_its_engine_was_killed_runs_again_once_it_is_over(tmp_path: Path) -> None:
    write(tmp_path, SLOW.format(code="$(test $(grep -c over count) -eq 2; echo $?)"))
    resumed_beside_its_guard(tmp_path)
    assert (tmp_path / "count").read_text() == "begun\nover\nbegun\nover\n"


def test_another_command_of_the_step_waits_for_the_one_that_is_still_ending(tmp_path: Path) -> None:
    write(tmp_path, SLOW.format(code=0))
    text = (tmp_path / "w.md").read_text().partition("- Prompt")[0]
    (tmp_path / "next.md").write_text(f"{text}- Prompt: {OTHER}\n")
    resumed_beside_its_guard(tmp_path)
    assert (tmp_path / "count").read_text() == "begun\nover\nother\n"
    assert not os.listdir(tmp_path / ".stepflow/chain/jobs")  # noqa: PTH208 - names are enough
