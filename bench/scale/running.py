"""The reference workflow, running on the local target in a directory of its own, and the CPU that its programs use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
STEPFLOW = Path(sys.executable).with_name("stepflow")
BACKGROUND = ("nice", "-n", "5")  # others work on this machine as well


@dataclass(frozen=True, slots=True)
class Running:
    """A platform: the directory it was started in, its gateway's URL, the processes of each workload and server."""

    cwd: Path
    gateway: str
    pids: dict[str, tuple[int, ...]]

    @property
    def state(self) -> Path:
        """The folder with secrets and data."""
        [folder] = (self.cwd / ".stepflow").iterdir()
        return folder

    @property
    def source(self) -> Path:
        """The folder with the rendered services."""
        return self.cwd / self.state.name

    def secret(self, name: str) -> str:
        """Read a secret, for example the URL of a database."""
        return (self.state / "secrets" / name).read_text().strip()

    def cpu(self) -> dict[str, float]:
        """CPU-seconds, user and system, of each workload since it began: all its processes, ended children too."""
        return {name: sum(_seconds(pid) for pid in pids) for name, pids in self.pids.items()}

    def data_bytes(self, name: str) -> int:
        """How much a folder of the platform's data holds on the disk."""
        return sum(file.stat().st_size for file in (self.state / "data" / name).rglob("*") if file.is_file())


def _seconds(pid: int) -> float:
    program = psutil.Process(pid)
    own, total = program.cpu_times(), 0.0
    total += own.user + own.system + own.children_user + own.children_system
    for child in program.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def reference_workflow() -> Iterator[Running]:
    """Run it; take it down with its data at the end."""
    cwd = Path(tempfile.mkdtemp(prefix="stepflow-bench-"))
    shutil.copy(ROOT / "examples/microservices/workflow.md", cwd / "workflow.md")
    try:
        subprocess.run(
            [*BACKGROUND, STEPFLOW, "run", "workflow.md", "--json"], cwd=cwd, stdout=subprocess.DEVNULL, check=True
        )
        status = json.loads(subprocess.check_output([STEPFLOW, "status", "--json"], cwd=cwd))
        pids = {each["name"]: tuple(int(pid) for pid in each["pids"]) for each in status["services"]}
        yield Running(cwd, status["endpoints"]["gateway"], pids)
    finally:
        subprocess.run([STEPFLOW, "down", "--data"], cwd=cwd, capture_output=True, check=False)
        shutil.rmtree(cwd)
