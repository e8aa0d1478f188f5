"""Change the code in many small ways, and see which changes no test notices: mutation testing, by mutmut.

python tests/mutants.py [--workers N] [MODULE ...]

`[tool.stepflow-mutants]` of pyproject.toml names the modules, and the quick tests of each, so that a module takes
minutes. Prints a table, then each change that survived; ends with 1 where fewer than nine of ten died. Each module has
a folder of its own in build/mutants/: `cd` there and `mutmut browse`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/stepflow"
BUILD = ROOT / "build/mutants"
AIM = 0.9
DIED = {"killed", "timeout", "segfault"}
_WITHOUT = "no tests"
_UNCOVERED = "could not find any test case for any mutant"  # also where there is no mutant, in a module of constants


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of the mutants of one module."""

    module: str
    states: Mapping[str, str]  # mutant -> killed, survived, no tests, ...
    seconds: float

    @property
    def alive(self) -> tuple[str, ...]:
        """The mutants that no test noticed."""
        return tuple(name for name, state in self.states.items() if state not in DIED)

    @property
    def share(self) -> float:
        """How many of the mutants died, from 0 to 1; 1 where there are none."""
        return 1 - len(self.alive) / len(self.states) if self.states else 1.0

    def __str__(self) -> str:
        """Format the row of the table."""
        counts = Counter(self.states.values())
        without = counts[_WITHOUT]
        died = len(self.states) - len(self.alive)
        cells = (self.module, len(self.states), died, len(self.alive) - without, without)
        return f"| {' | '.join(map(str, cells))} | {self.share:.1%} | {self.seconds:.0f} |"


def settings() -> Mapping[str, Any]:
    """Return what pyproject.toml says about mutants."""
    project: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return project["tool"]["stepflow-mutants"]  # type: ignore[no-any-return]


def modules(said: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return each module with its tests: those named for it, or for the package that it is in."""
    found: dict[str, list[str]] = {}
    for name, tests in said["tests"].items():
        path = SOURCE / name.replace(".", "/")
        files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            module = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
            if file.stem != "__init__" and module not in said["left_out"]:
                found[module] = [path for each in said["tests"].get(module, tests) for path in _matching(each)]
    return found


def _matching(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


def tried(module: str, tests: Sequence[str], workers: int) -> Tried:
    """Try all mutants of a module, in a folder that looks like the repository and has a configuration of its own."""
    folder = BUILD / module
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    said = settings()
    for name in ("src", "tests", "pyproject.toml", *said["copied"]):
        (folder / name).symlink_to(ROOT / name)
    lists = {
        "source_paths": ["src"],
        "only_mutate": [f"src/stepflow/{module.replace('.', '/')}.py"],
        "also_copy": said["copied"],
        "pytest_add_cli_args": said["pytest"],
        "pytest_add_cli_args_test_selection": tests,
    }
    written = ["[mutmut]", "on_dependency_change = ignore", "timeout_multiplier = 5", "timeout_constant = 2"]
    for key, values in lists.items():
        written += [f"{key} =", *(f"    {value}" for value in values)]
    (folder / "setup.cfg").write_text("\n".join([*written, ""]), "utf-8")
    began = time.monotonic()
    with TemporaryDirectory(prefix="mutants-") as scratch, (folder / "log").open("w") as log:
        Path(scratch).chmod(0o1777)  # tests of rights are another account in it, as in /tmp
        env = {**os.environ, "TMPDIR": scratch}
        command = ("mutmut", "run", "--max-children", str(workers))
        done = subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, check=False)
    uncovered = _UNCOVERED in (folder / "log").read_text("utf-8")
    if done.returncode and not uncovered:
        sys.exit(f"error: mutmut ended with {done.returncode}\nhint: what it said is in {folder / 'log'}")
    lines = _mutmut(folder, "results", "--all", "true").splitlines()
    states = dict(line.strip().rsplit(": ", 1) for line in lines if ": " in line)
    states = dict.fromkeys(states, _WITHOUT) if uncovered else states
    return Tried(module, states, time.monotonic() - began)


def _mutmut(folder: Path, *arguments: str) -> str:
    return subprocess.run(("mutmut", *arguments), cwd=folder, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Try the modules that the command line names, or all."""
    known = modules(settings())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", nargs="*", help=f"all, or some of: {', '.join(known)}")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="by default, one a core")
    called = parser.parse_args()
    if unknown := set(called.module) - known.keys():
        parser.error(f"`{min(unknown)}` is not one of {', '.join(known)}")
    sys.stdout.write("| module | mutants | died | survived | without a test | share | seconds |\n")
    sys.stdout.write("|---|---:|---:|---:|---:|---:|---:|\n")
    found = []
    for module in called.module or known:
        found.append(tried(module, known[module], called.workers))
        sys.stdout.write(f"{found[-1]}\n")
        sys.stdout.flush()
    for each in found:
        for name in each.alive:
            sys.stdout.write(f"\n```diff\n{_mutmut(BUILD / each.module, 'show', name).strip()}\n```\n")
    return int(any(each.share < AIM for each in found))


if __name__ == "__main__":
    sys.exit(main())
