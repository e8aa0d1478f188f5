"""The observed state, from a few small files and the kernel: no process of the platform is asked anything.

All that a comparison needs of this machine is here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepflow.targets.contract import Observed, Snapshot, State
from stepflow.targets.local import cluster, environment, ports
from stepflow.targets.local.databases import Database, made
from stepflow.targets.local.pair import alive
from stepflow.targets.local.processes import folder_removed, lives
from stepflow.targets.local.programs import MISSING, Program, installed
from stepflow.targets.local.spec import Process, ProcessStatus, digest_of
from stepflow.targets.local.store import Store
from stepflow.targets.ports import free
from stepflow.targets.resolution import Numbers

_DOWN = "the platform's supervisor does not run"
PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables of the user's session that workloads get; another session is not a change of a workload."""


@dataclass(frozen=True, slots=True)
class LocalState:
    """Everything of a platform on this machine, at one moment."""

    processes: Mapping[str, Process] = field(default_factory=dict)  # that are to run, by name
    statuses: Mapping[str, ProcessStatus] = field(default_factory=dict)  # of each of them
    ports: Mapping[str, int] = field(default_factory=dict)  # chosen so far, by `<process>/<port>`
    taken: frozenset[int] = frozenset()  # of these, what another program has while nothing of the platform runs
    databases: Mapping[str, Database] = field(default_factory=dict)  # that there are, by name
    configurations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # process -> file -> digest on disk
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # file -> its text
    data: frozenset[str] = frozenset()  # names of the data directories that there are
    drifted: tuple[str, ...] = ()  # what of PostgreSQL is not as it was set up, in words
    gone: Mapping[str, str] = field(default_factory=dict)  # process -> what it runs from and was removed, in words
    programs: Mapping[str, Program] = field(default_factory=dict)  # that these processes run, as found now
    session: Mapping[str, str] = field(default_factory=dict)  # the variables of `PASSED_ON`
    environments: frozenset[str] = frozenset()  # names of the Python environments that were made
    supervised: bool = False

    def program(self, name: str) -> Program:
        """Return a program; `MISSING` where there is none."""
        return self.programs.get(name, MISSING)

    def copies(self, owner: str) -> dict[int, Process]:
        """Return the processes of a workload by their numbers, in order."""
        mine = (each for each in self.processes.values() if each.owner == owner)
        return dict(sorted((int(each.name.removeprefix(f"{owner}-")), each) for each in mine))

    @property
    def numbers(self) -> Numbers:
        """The ports of each server and of the first copy of each workload, as far as they are chosen."""
        kept: dict[str, dict[str, int]] = {}
        for key, number in self.ports.items():
            process, _, port = key.partition("/")
            kept.setdefault(process, {})[port] = number
        ordered = sorted(self.processes.values(), key=lambda each: each.name, reverse=True)
        expected = {name.removesuffix("-1"): found for name, found in kept.items() if name.endswith("-1")}
        found = {**expected, **{each.owner: {**each.ports, **kept.get(each.name, {})} for each in ordered}}
        return {name: each for name, each in found.items() if not self.taken & set(each.values())}


def observe(store: Store) -> Snapshot:
    """Observe every workload and server, whether the supervisor runs or not."""
    now = local_state(store)
    groups: dict[str, list[Process]] = {}
    for process in sorted(now.processes.values(), key=lambda process: process.name):
        groups.setdefault(process.owner, []).append(process)
    return Snapshot({name: _one(now, name, group) for name, group in groups.items()}, now)


def local_state(store: Store) -> LocalState:
    """Return the state of a platform on this machine now."""
    layout = store.layout
    supervised = alive(layout)
    processes = store.desired()
    stopped = ProcessStatus("", state="stopped", detail=_DOWN)
    kept = ports.read(layout)
    return LocalState(
        processes=processes,
        statuses={name: store.status(each) if supervised else stopped for name, each in processes.items()},
        ports=kept,
        taken=frozenset() if supervised else _taken(store, kept.values()),
        databases=made(layout),
        configurations={name: _digests(layout.configs / name) for name in processes},
        secrets=_texts(layout.secrets),
        data=frozenset(path.name for path in layout.data.glob("*")),
        drifted=tuple(cluster.drifted(layout)),
        gone=_gone(store, processes.values()),
        programs=installed({each.program.split()[0] for each in processes.values() if each.program}),
        session={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        environments=environment.complete(layout),
        supervised=supervised,
    )


def _taken(store: Store, numbers: Iterable[int]) -> frozenset[int]:
    """Return the ports that another program has: not one of the platform's own that a killed supervisor left behind."""
    observed, desired = store.observed().processes, store.desired()
    left = (name for name, each in observed.items() if name in desired and lives(each.pid, each.started))
    own = {number for name in left for number in desired[name].ports.values()}
    return frozenset(number for number in numbers if number not in own and not free(number))


def _gone(store: Store, processes: Iterable[Process]) -> dict[str, str]:
    """Return what was removed of that which these processes run from."""
    found = {}
    for each in processes:
        status = store.observed().processes.get(each.name)
        if not Path(each.executable).exists():
            found[each.name] = f"its program `{each.executable}` is gone"
        elif status is not None and folder_removed(status.pid, status.started, each.cwd):
            found[each.name] = f"its folder `{each.cwd}` was removed while it ran"
    return found


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.glob("*") if not path.name.startswith("."))
    return {path.name: digest_of(path.read_text(encoding="utf-8", errors="replace")) for path in files}


def _texts(folder: Path) -> dict[str, str]:
    files = (path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in files}


def _one(now: LocalState, name: str, group: list[Process]) -> Observed:
    """Summarize the copies. The desired number is how many there are: scaling adds or removes them one by one."""
    statuses = [now.statuses[process.name] for process in group]
    first, digests = group[0], {process.digest for process in group}
    return Observed(
        name=name,
        kind=first.kind,
        state=_state(statuses),
        digest=digests.pop() if len(digests) == 1 else "",
        replicas=len(group),
        ready=sum(status.state == "ready" for status in statuses),
        url=first.url,
        handles=tuple(str(status.pid) for status in statuses if status.pid),
        restarts=sum(status.restarts for status in statuses),
        detail=next((s.detail for s in statuses if s.state != "ready"), statuses[0].detail),
        log=first.log,
    )


def _state(statuses: list[ProcessStatus]) -> State:
    states = {status.state for status in statuses}
    if "failed" in states:
        return "failed"
    if states == {"ready"}:
        return "ready"
    return "starting" if states & {"starting", "ready"} else "stopped"
