"""What the engine itself costs: the start of the command line, a step, a run with nothing to do, a plan of 100,000.

How it is measured: medians of real calls in a fresh directory. Every figure stands beside a floor that is measured in
the same run on the same machine, so that the ratio means something elsewhere too:
- `stepflow --help` beside a one-command typer program's `--help`,
- a shell step that does nothing beside a bare `bash -c true`,
- the second run's engine time (as `run_finished` tells it) beside the first's,
- planning 100,000 steps beside planning 10,000 (linear: 10).

    .venv/bin/python bench/engine.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from stepflow.plan import Facts, Record, make_plan

STEPFLOW = Path(sys.executable).with_name("stepflow")
HELLO = """
import typer
app = typer.Typer()
@app.command()
def hello(name: str = "world") -> None:
    print("hello", name)
app()
"""
STEPS = 50


def seconds(rounds: int, *acts: Callable[[], object]) -> list[float]:
    """Return the median wall-clock seconds of each call; they take turns, so that a busy machine is busy for all."""
    taken: list[list[float]] = [[] for _ in acts]
    for _ in range(rounds):
        for each, act in zip(taken, acts, strict=True):
            start = time.perf_counter()
            act()
            each.append(time.perf_counter() - start)
    return [statistics.median(each) for each in taken]


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command that has to succeed, and give its output."""
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=True).stdout


def help_beside_hello(cwd: Path, rounds: int) -> None:
    """Compare the start of the command line with the least that typer can do."""
    (cwd / "hello.py").write_text(HELLO, encoding="utf-8")
    own, bare = seconds(
        rounds,
        lambda: call(STEPFLOW, "--help", cwd=cwd),
        lambda: call(sys.executable, "hello.py", "--help", cwd=cwd),
    )
    print(f"stepflow --help         {own:7.3f} s  {own / bare:6.2f} x a bare typer hello ({bare:.3f} s); aim: 1.5")


def steps_beside_bash(cwd: Path, rounds: int) -> None:
    """Compare a chain of empty steps with as many calls of bash, and the second run with the first."""
    chain = "\n".join(f"## Step {n}: S\n- Playbook: shell\n- Prompt: true\n" for n in range(1, STEPS + 1))
    (cwd / "w.md").write_text(f"# Chain\n\n{chain}", encoding="utf-8")
    first = told(cwd) / STEPS
    second = statistics.median(told(cwd) for _ in range(rounds))
    (whole,) = seconds(rounds, lambda: call(STEPFLOW, "run", "w.md", cwd=cwd))
    (bash,) = seconds(STEPS, lambda: call("bash", "-c", "true", cwd=cwd))
    print(f"a shell step            {first:7.3f} s  {first / bash:6.2f} x a bare `bash -c true` ({bash:.4f} s)")
    share = second / (first * STEPS)
    print(f"a run with nothing to do{second:7.3f} s  {share:6.2f} x the first run, {STEPS} steps; limit: 1 s")
    print(f"  the whole command     {whole:7.3f} s")


def told(cwd: Path) -> float:
    """Run the workflow and give the engine's seconds."""
    last = json.loads(call(STEPFLOW, "run", "w.md", "--json", cwd=cwd).splitlines()[-1])
    return float(last["seconds"])


def plan_of(size: int) -> float:
    """Plan a chain with branches, half of it to be run again, and print it; give the seconds."""
    parts = {f"field:{name}": "1" for name in "abcdef"}
    record = Record(1, "done", parts, 1.0)
    facts = [
        Facts(
            n,
            f"Step {n}",
            "shell",
            (n - 1,) if n > 1 and n % 3 else (),
            (),
            parts if n % 2 else {**parts, "field:a": "2"},
            record,
        )
        for n in range(1, size + 1)
    ]
    start = time.perf_counter()
    str(make_plan("bench", "local", facts))
    return time.perf_counter() - start


def plans() -> None:
    """Compare a plan of 100,000 steps with one of 10,000, in time and in memory."""
    small, large = plan_of(10_000), plan_of(100_000)
    tracemalloc.start()
    plan_of(10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"a plan of 100,000 steps {large:7.3f} s  {large / small:6.2f} x one of 10,000; linear: 10")
    print(f"  its memory            {peak / 10_000:7.0f} bytes a step at the peak")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="stepflow-bench-") as folder:
        help_beside_hello(Path(folder), rounds)
        steps_beside_bash(Path(folder), rounds)
    plans()


if __name__ == "__main__":
    main()
