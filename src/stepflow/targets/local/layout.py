"""Where the local target keeps its things: paths below `.stepflow/<name>/`."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The state directory of one platform, by absolute path."""

    state: Path

    @property
    def private(self) -> Path:
        """What only this target reads: desired and observed state, locks, ports."""
        return self.state / "local"

    @property
    def desired(self) -> Path:
        """The desired state: written by the command line, read by the supervisor."""
        return self.private / "desired.json"

    @property
    def observed(self) -> Path:
        """The observed state: written by the supervisor, read by every command."""
        return self.private / "observed.json"

    @property
    def alive(self) -> Path:
        """The file whose `flock` the supervisor and its guardian hold as long as one of them lives."""
        return self.private / "alive.lock"

    @property
    def ports(self) -> Path:
        """The port numbers that were chosen."""
        return self.private / "ports.json"

    @property
    def configs(self) -> Path:
        """Configuration files of servers and workloads, one folder a process."""
        return self.private / "configs"

    @property
    def secrets(self) -> Path:
        """One file a secret."""
        return self.state / "secrets"

    @property
    def data(self) -> Path:
        """What outlives the processes: DataDirs and the servers' stores."""
        return self.state / "data"

    @property
    def postgres(self) -> Path:
        """What PostgreSQL's server and what is known of it have."""
        return self.data / "postgres"

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.postgres / "cluster"

    @property
    def databases(self) -> Path:
        """One file a database that was made."""
        return self.postgres / "databases"

    @property
    def applied(self) -> Path:
        """What PostgreSQL's data directory was set up with."""
        return self.postgres / "applied"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.state / "logs"

    @property
    def envs(self) -> Path:
        """Python environments of workloads with dependencies of their own."""
        return self.state / "envs"

    def log(self, process: str) -> Path:
        """Return the path of a process's log."""
        return self.logs / f"{process}.log"

    def prepare(self) -> None:
        """Make the directories, readable by their owner alone."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o711)  # PostgreSQL's account may have to pass through
        for folder in (self.private, self.configs, self.secrets, self.logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold an exclusive lock on a file of this name; the kernel drops it when its holder dies."""
        with (self.private / f"{name}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
