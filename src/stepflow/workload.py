"""What a playbook declares (workloads, backing services, jobs), as pure data that every target can run, and what a
check sees of the running result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from stepflow.handoff import ConfigFile, DataDir, Endpoint, Handoff, SecretFile, ServerFile, Value

__all__ = [
    "PRODUCTION",
    "CheckContext",
    "Declaration",
    "HttpProbe",
    "Instance",
    "Job",
    "Json",
    "Live",
    "Port",
    "Production",
    "Server",
    "ServerKind",
    "Workload",
]

LONGEST_ARGUMENT = 131_071  # bytes of one argument of a process on Linux (MAX_ARG_STRLEN, execve(2))
ServerKind = Literal["nats", "postgres", "valkey"]
_SURROGATE = re.compile("[\ud800-\udfff]")
_REFERENCES = (Endpoint, SecretFile, ServerFile, DataDir, ConfigFile)
Json = str | int | float | bool | None | Value | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a workload listens on. The target picks the number where it must and passes it in `env`."""

    name: str = "http"
    number: int = 8000  # inside a container or pod; on one machine only a preference
    env: str = "PORT"  # the variable with the number; "" when a config file has it
    published: bool = False  # reached by people: keeps `number` on one machine if that is free


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A GET that must answer 2xx. `deadline` is how long a start may take, in seconds."""

    path: str
    port: str = "http"
    interval: float = 0.2
    timeout: float = 2.0
    deadline: float = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A backing service that the target provides once per platform; `database` names one of PostgreSQL's."""

    kind: ServerKind
    database: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to keep running.

    `command[0]` is `python`, run in the rendered `context`, where the dependencies in its `pyproject.toml` and in
    `../chassis/pyproject.toml` are installed and `src` and `../chassis/src` can be imported; or it is a server program
    (`envoy`) that the target finds or maps to an image. Every instance gets `HOST`, its ports' variables,
    `ADVERTISE_HOST`, `SERVICE` (the name) and `INSTANCE`.
    """

    name: str
    command: tuple[Value, ...]
    ready: HttpProbe
    live: HttpProbe | None = None
    context: str = ""  # folder of the rendered tree with a Dockerfile; "" for a server program
    ports: tuple[Port, ...] = (Port(),)
    env: Mapping[str, Value] = field(default_factory=dict)
    configs: Mapping[str, Json] = field(default_factory=dict)  # file name -> JSON with references in it
    data: tuple[str, ...] = ()  # names of the DataDirs it uses
    replicas: int = 1
    needs: tuple[str, ...] = ()  # workloads that must be ready first
    stop_grace: float = 15.0  # seconds from SIGTERM to SIGKILL
    migrate: tuple[Value, ...] = ()  # idempotent command that brings its database to what this version needs

    def __post_init__(self) -> None:
        """Raise `ValueError` for what no process can be started with."""
        _require_process(f"workload `{self.name}`", (*self.command, *self.migrate), self.env, _REFERENCES)


@dataclass(frozen=True, slots=True)
class Job:
    """A command that runs to completion, once each time its step runs, in the working directory.

    It finds the handoffs it takes as JSON in the file `$STEPFLOW_HANDOFFS` and may write its own values, a JSON
    object, to the file `$STEPFLOW_HANDOFF`. Its step runs again when what it reads from outside is another one: the
    contents of `inputs`, the variables `takes` and `secrets`. The contents of what it `creates` are handed off. Paths
    and globs are relative to the working directory and stay in it; `**` stands for any folders.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None  # seconds; None: no limit
    retries: int = 0  # how often it is retried after it failed
    inputs: tuple[str, ...] = ()  # paths or globs that it reads
    creates: tuple[str, ...] = ()  # paths or globs that it makes
    gives: tuple[str, ...] = ()  # names of values that it writes to its handoff
    hides: tuple[str, ...] = ()  # those of them that are secrets
    takes: tuple[str, ...] = ()  # names of environment variables that it reads, of stepflow's own or from `.env`
    secrets: tuple[str, ...] = ()  # names of those that are masked wherever they would be shown

    def __post_init__(self) -> None:
        """Raise `ValueError` for what no process can be started with."""
        _require_process(f"job `{self.name}`", self.command, self.env)


@dataclass(frozen=True, slots=True)
class Production:
    """How the platform as a whole is run, for a target that can: what scales, how far, and by which use of the CPU."""

    workloads: tuple[Workload, ...]  # of all steps
    servers: tuple[Server, ...]
    scaled: tuple[str, ...]  # the workloads that may be scaled
    at_least: int
    at_most: int
    cpu_target: int  # percent of the CPU that a copy requests, on average, above which copies are added
    automatic: bool  # otherwise there are always `at_least`


PRODUCTION = "production"
"""The name of a platform's `Production` among the names of workloads and servers."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """Everything that one step declares."""

    workloads: tuple[Workload, ...] = ()
    servers: tuple[Server, ...] = ()
    jobs: tuple[Job, ...] = ()
    production: Production | None = None

    @property
    def deploys(self) -> bool:
        """Return whether a target has something to do."""
        return bool(self.workloads or self.servers or self.production)


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a workload."""

    workload: str
    name: str
    state: Literal["ready", "starting", "stopped", "failed"]
    url: str
    handle: str  # pid, container id or pod name


class Live(Protocol):
    """The running platform, seen from the host, as a target shows it."""

    target: str
    out: Path
    """The rendered source tree. It belongs to the user: a check may verify it, but learns no value from it."""

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference; raises `PermanentError` for a workload that does not exist."""

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text; raises `PermanentError` for one that is gone: reading makes none."""

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""

    async def kill(self, instance: Instance) -> None:
        """Kill one replica (SIGKILL), to check that no client notices; only a check with `chaos=True` may."""


class CheckContext(Live, Protocol):
    """What a check works with: the running platform, and what its steps hand off."""

    @property
    def handoffs(self) -> tuple[Handoff, ...]:
        """The handoffs in the order of the steps: all of them for a check with `when="run"`; for one with
        `when="step"` that of its own step and those that the step takes.
        """


def _require_process(
    who: str, command: Sequence[object], env: Mapping[str, object], references: tuple[type, ...] = ()
) -> None:
    for word in command:
        if why := "" if isinstance(word, references) else _unfit(word):
            raise ValueError(f"{who}: {word!r} in its command {why}")
    for name, value in env.items():
        if why := _unfit(name) or ("is not the name of one" if not name or "=" in name else ""):
            raise ValueError(f"{who}: its variable {name!r} {why}")
        if why := "" if isinstance(value, references) else _unfit(value):
            raise ValueError(f"{who}: {value!r} in its variable `{name}` {why}")


def _unfit(value: object) -> str:
    """Return why a value cannot be handed to a process; "" when it can."""
    if not isinstance(value, str):
        return f"is not text but {type(value).__name__}"
    if "\0" in value:
        return "has a NUL character, which no process can be given"
    return "" if value.isascii() or not _SURROGATE.search(value) else "is not Unicode text"
