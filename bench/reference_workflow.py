"""The reference workflow on this machine: from `run` to all healthy, the second run, kill and resume, down.

How it is measured: wall-clock seconds of the real command in a fresh directory, package cache warm (everything that
`make run` installs is there), one platform at a time. "All healthy" is when the last step has been verified; the whole
command also makes the journeys that answer the document's expected outcomes. "Engine" is what a run itself says that it
took, without the interpreter's start. Beside it, in the same run, the floor: the seconds that it takes
only to import what one service imports, times the number of Python processes, over the cores. The ratio to the floor
says how much of the time is ours and not the interpreter's.

    .venv/bin/python bench/reference_workflow.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPFLOW = Path(sys.executable).with_name("stepflow")
IMPORTS = "import asyncpg, fastapi, nats, opentelemetry.sdk.trace, uvicorn"
LIMITS = {"all healthy": 20.0, "second run, engine": 1.0}


def seconds(*command: str | Path, cwd: Path) -> float:
    """Run a command that has to succeed; give its wall-clock seconds."""
    start = time.perf_counter()
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}\n{said}")
    return time.perf_counter() - start


def a_run(cwd: Path) -> tuple[float, float, float]:
    """Run the workflow; give the seconds until the last step was done, of the whole command, and of the engine."""
    began = datetime.now(UTC)
    start = time.perf_counter()
    command = (str(STEPFLOW), "run", "workflow.md", "--json")
    events = [json.loads(line) for line in subprocess.check_output(command, cwd=cwd).splitlines()]
    whole = time.perf_counter() - start
    last = max(datetime.fromisoformat(e["time"]) for e in events if e["event"] == "step_finished")
    return (last - began).total_seconds(), whole, float(events[-1]["seconds"])


def python_processes(cwd: Path) -> int:
    """Count the service processes of the platform."""
    status = json.loads(subprocess.check_output([str(STEPFLOW), "status", "--json"], cwd=cwd))
    return sum(len(s["pids"]) for s in status["services"] if s["name"] not in {"gateway", "nats", "postgres", "valkey"})


def one_round() -> dict[str, float]:
    """Run the whole life of a platform once."""
    cwd = Path(tempfile.mkdtemp(prefix="stepflow-bench-"))
    shutil.copy(ROOT / "examples/microservices/workflow.md", cwd / "workflow.md")
    try:
        figures = dict(zip(("all healthy", "whole run"), a_run(cwd)[:2], strict=True))
        _, figures["second run"], figures["second run, engine"] = a_run(cwd)
        alone = statistics.median(seconds(sys.executable, "-c", IMPORTS, cwd=cwd) for _ in range(3))
        figures["floor"] = alone * python_processes(cwd) / min(os.cpu_count() or 1, 2)
        figures["down"] = seconds(STEPFLOW, "down", cwd=cwd)
        figures["all healthy after down"] = a_run(cwd)[0]
    finally:
        subprocess.run([str(STEPFLOW), "down", "--data"], cwd=cwd, capture_output=True, check=False)
        shutil.rmtree(cwd)
    return figures


def main() -> None:
    """Print the median of each figure, and its ratio to the limit and to the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = [one_round() for _ in range(parser.parse_args().rounds)]
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    for name, value in medians.items():
        limit = f"  {value / LIMITS[name]:.2f} x the limit of {LIMITS[name]:.0f} s" if name in LIMITS else ""
        print(f"{name:24} {value:6.2f} s  {value / medians['floor']:.2f} x the floor{limit}")


if __name__ == "__main__":
    main()
