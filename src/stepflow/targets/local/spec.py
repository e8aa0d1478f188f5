"""What the command line and the supervisor exchange as JSON files: desired processes and their status."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from stepflow.errors import MachineError
from stepflow.targets.contract import State
from stepflow.targets.wholefile import write_whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T", bound="DataclassInstance")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe on 127.0.0.1: a GET that must answer 2xx, or a server's own greeting. Times in seconds."""

    kind: Literal["http", "postgres", "valkey"]
    port: int
    path: str = "/"
    interval: float = 0.2
    timeout: float = 2.0
    deadline: float = 60.0


@dataclass(frozen=True, slots=True)
class Preparation:
    """A command that makes the directory `final`, once: it writes to `temporary`, which is renamed when it succeeds."""

    command: tuple[str, ...]
    temporary: str
    final: str


@dataclass(frozen=True, slots=True)
class Process:
    """One process to keep running, everything resolved."""

    name: str  # `user-service-1`, `postgres`
    owner: str  # the workload or the server that it is a copy of
    kind: Literal["workload", "server"]
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    log: str
    ready: Probe
    live: Probe | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    url: str = ""
    data: tuple[str, ...] = ()  # its directories below the platform's data
    digest: str = ""
    program: str = ""  # what it runs: name and version; where that lies is in `command`, and does not count
    configuration: str = ""  # digest of the files it reads when it starts
    found: Mapping[str, str] = field(default_factory=dict)  # what tells each secret and database it uses from any other
    neighbours: tuple[str, ...] = ()  # owners whose addresses it holds
    after: tuple[str, ...] = ()  # owners that must be ready before it is started
    rank: int = 0  # stopped in falling order
    stop: int = signal.SIGTERM
    grace: float = 15.0
    account: int | None = None  # user and group id to run as
    drain: int | None = None  # Envoy's admin port, asked to drain before it is stopped
    preparation: Preparation | None = None
    stamp: str = ""  # given by `Store.put`: another stamp restarts the process

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command without the path of its program, the first absolute one, and what is put in front of that."""
        at = next((number for number, part in enumerate(self.command) if part.startswith("/")), 0)
        return self.command[at + 1 :]

    @property
    def executable(self) -> str:
        """The path of its program."""
        return self.command[len(self.command) - len(self.arguments) - 1]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process as the supervisor sees it."""

    stamp: str = ""
    state: State = "starting"
    pid: int = 0
    started: str = ""  # identity of the pid: see `processes.started`
    restarts: int = 0
    detail: str = ""
    proven: bool = False  # it was ready once, with this stamp
    offset: int = 0  # where its log began when it was last started
    exits: int = 0  # how often it ended unasked since this stamp appeared


@dataclass(frozen=True, slots=True)
class DesiredState:
    """All processes of a platform; `end` asks the supervisor to stop them and to leave."""

    processes: Mapping[str, Process] = field(default_factory=dict)
    end: bool = False


@dataclass(frozen=True, slots=True)
class ObservedState:
    """All that the supervisor sees, its own and its guardian's pid included."""

    processes: Mapping[str, ProcessStatus] = field(default_factory=dict)
    supervisor: int = 0
    guardian: int = 0
    revision: str = ""  # of the desired state it works on


def digest_of(text: str) -> str:
    """Return a digest of a text."""
    return sha256(text.encode()).hexdigest()


def write_desired(path: Path, desired: DesiredState) -> None:
    """Write the desired state, which the supervisor reads."""
    write_whole(path, json.dumps(asdict(desired), indent=1))


def read_desired(path: Path) -> DesiredState:
    """Read the desired state; an empty one when there is no file. Raises `MachineError` for a damaged one."""

    def build(raw: Mapping[str, Any]) -> DesiredState:
        processes = {name: _process(value) for name, value in raw.get("processes", {}).items()}
        return DesiredState(processes, end=raw.get("end", False))

    return read_json(path, build)


def write_observed(path: Path, observed: ObservedState) -> None:
    """Write what runs, which every command reads."""
    write_whole(path, json.dumps(asdict(observed), indent=1))


def read_observed(path: Path) -> ObservedState:
    """Read what runs; nothing when there is no file. Raises `MachineError` for a damaged one."""

    def build(raw: Mapping[str, Any]) -> ObservedState:
        statuses = {name: _known(ProcessStatus, value) for name, value in raw.get("processes", {}).items()}
        return _known(ObservedState, raw, processes=statuses)

    return read_json(path, build)


def _known(kind: type[_T], raw: Mapping[str, Any], **instead: object) -> _T:
    """Build it from the fields it has; a newer or older stepflow may have written others."""
    names = {each.name for each in fields(kind)}
    return kind(**{**{key: value for key, value in raw.items() if key in names}, **instead})


def read_json(path: Path, build: Callable[[Mapping[str, Any]], _R]) -> _R:
    """Read one of this target's files, whole, and build what it stands for; from an empty one when there is no file.

    Raises `MachineError`, with the way out, for a file that is damaged.
    """
    try:
        return build(json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        hint = f"`rm {path}`, then type the same again: what it held is written again"
        raise MachineError(f"`{path}` is damaged: {type(error).__name__}: {error}", hint=hint) from error


def _process(raw: dict[str, Any]) -> Process:
    probes = {key: _known(Probe, raw[key]) if raw.get(key) else None for key in ("ready", "live")}
    lists = {key: tuple(raw.get(key, ())) for key in ("command", "after", "data", "neighbours")}
    preparation = raw.get("preparation")
    if preparation:
        preparation = _known(Preparation, preparation, command=tuple(preparation["command"]))
    return _known(Process, raw, **probes, **lists, preparation=preparation)
