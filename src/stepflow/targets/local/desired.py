"""Turns a declaration, which is independent of any machine, into processes. Pure: nothing is written here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets import addresses
from stepflow.targets.addresses import ServerUrl
from stepflow.targets.contract import Site
from stepflow.targets.local.databases import Database
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.observed import LocalState
from stepflow.targets.local.spec import Probe, Process, digest_of
from stepflow.targets.ports import HOST
from stepflow.targets.resolution import Numbers, Resolution
from stepflow.targets.resolved import Resolved
from stepflow.targets.secretfiles import inside
from stepflow.workload import HttpProbe, Json

_NONE: Mapping[str, ServerUrl] = MappingProxyType({})
_ENVOY = ("--use-dynamic-base-id", "--concurrency", "1", "-l", "warning")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is converged in one go: a server, a database in PostgreSQL, or the copies of a workload."""

    kind: Literal["server", "database", "workload"]
    name: str
    needs: tuple[str, ...] = ()
    database: str = ""
    resolved: Resolved | None = None
    digest: str = ""  # of all that a workload is made from
    rank: int = 0  # stopped in falling order

    @property
    def python(self) -> bool:
        """Whether it runs in Python, in an environment of its own where its dependencies need one."""
        return self.resolved is not None and self.resolved.program == "python"

    @property
    def context(self) -> str:
        """The rendered folder of a workload."""
        return self.resolved.workload.context if self.resolved else ""


@dataclass(frozen=True, slots=True)
class Definition:
    """A process, and what has to be on disk before it starts."""

    process: Process
    folders: tuple[Path, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict, repr=False)  # in its configuration folder; may hold secrets
    secrets: tuple[str, ...] = ()  # names of secrets that it reads
    urls: Mapping[str, ServerUrl] = field(default_factory=dict)  # file -> the server's URL
    prepare: Callable[[], None] | None = None  # what else its server needs


def database_unit(name: str) -> str:
    """Return the name of the unit that makes a database."""
    return f"database-{name}"


def instance_name(workload: str, number: int) -> str:
    """Return the name of a copy of a workload."""
    return f"{workload}-{number}"


def units(resolution: Resolution) -> tuple[Unit, ...]:
    """Return the units of a declaration: servers, databases, workloads."""
    return (
        *(Unit("server", kind) for kind in resolution.servers),
        *(Unit("database", database_unit(name), ("postgres",), name) for name in resolution.databases),
        *(
            Unit(
                "workload",
                each.name,
                (*each.servers, *map(database_unit, each.databases), *each.workload.needs),
                resolved=each,
                digest=resolution.digests.get(each.name, ""),
                rank=resolution.ranks[each.name],
            )
            for each in resolution.workloads
        ),
    )


def define(
    site: Site, layout: Layout, unit: Unit, number: int, *, own: Mapping[str, int], now: LocalState
) -> Definition:
    """Define one copy of a workload. Raises `PermanentError` for what it refers to and does not exist."""
    assert unit.resolved is not None
    view = View(layout, unit.resolved, instance_name(unit.name, number), own, now.numbers)
    workload = unit.resolved.workload
    name, *arguments = (view.text(value) for value in workload.command)
    program, envoy = now.program(name), name == "envoy"
    files, urls = view.files(), view.urls()
    secrets = tuple(each.name for each in unit.resolved.secrets)
    process = Process(
        name=view.instance,
        owner=workload.name,
        kind="workload",
        command=(program.path, *arguments, *(_ENVOY if envoy else ())),
        env=_environment(site, view, now),
        cwd=str(site.out / workload.context),
        log=str(layout.log(view.instance)),
        ready=_probe(workload.ready, own),
        live=_probe(workload.live, own) if workload.live else None,
        ports=dict(own),
        url=f"http://{HOST}:{own.get('http', next(iter(own.values())))}" if own else "",
        data=workload.data,
        digest=unit.digest,
        program=program.said(name),
        configuration=_content(view),
        found=found(now, secrets, urls, unit.resolved.databases),
        neighbours=unit.resolved.neighbours,
        after=(*unit.resolved.servers, *workload.needs),
        rank=unit.rank,
        grace=workload.stop_grace,
        drain=own.get("admin") if envoy else None,
    )
    return Definition(
        process,
        folders=tuple(layout.data / inside(name) for name in unit.resolved.data),
        files=files,
        secrets=secrets,
        urls=urls,
    )


@dataclass(frozen=True, slots=True)
class View:
    """What references are for one copy of a workload on this machine."""

    layout: Layout
    resolved: Resolved
    instance: str
    own: Mapping[str, int]  # this copy's ports
    others: Numbers

    def text(self, value: Value) -> str:
        """Resolve one value of an environment or a command. Raises `PermanentError` for what does not exist."""
        match value:
            case str():
                return value
            case Endpoint():
                own = value.workload == self.resolved.name
                return addresses.endpoint(value, HOST, {value.workload: self.own} if own else self.others)
            case SecretFile():
                return str(self.layout.secrets / inside(value.name))
            case ServerFile():
                self._port(value)
                return str(self.layout.secrets / _url_file(value))
            case DataDir():
                return str(self.layout.data / inside(value.name))
            case ConfigFile():
                return str(self.layout.configs / self.instance / inside(value.name))

    def json(self, value: Json) -> object:
        """Resolve the references in a configuration; a port becomes a number."""
        match value:
            case dict():
                return {key: self.json(inner) for key, inner in value.items()}
            case list():
                return [self.json(inner) for inner in value]
            case None | bool() | int() | float():
                return value
            case Endpoint(part="port"):
                return int(self.text(value))
            case _:
                return self.text(value)

    def files(self) -> dict[str, str]:
        """Return the configuration files that it refers to, by name, with their references resolved."""
        configs = self.resolved.workload.configs
        names = dict.fromkeys(each.name for each in self.resolved.configs)
        return {inside(name): json.dumps(self.json(configs[name]), indent=1) for name in names}

    def urls(self) -> dict[str, ServerUrl]:
        """Return the URLs of the servers that it refers to, by the names of their files."""
        files = self.resolved.server_files
        return {_url_file(each): addresses.server_url(each, HOST, self._port(each)) for each in files}

    def _port(self, value: ServerFile) -> int:
        if value.kind not in self.others:
            raise PermanentError(f"workload `{self.resolved.name}` refers to `{value.kind}`, which no step declares")
        return self.others[value.kind][value.kind]


def found(
    now: LocalState, secrets: Iterable[str], urls: Mapping[str, ServerUrl] = _NONE, databases: Iterable[str] = ()
) -> dict[str, str]:
    """Return what tells each secret and database that a process uses from any other; "" for what is gone."""
    texts = {name: now.secrets.get(name) for name in secrets}
    for name, url in urls.items():
        password = now.secrets.get(url.secret)
        texts[name] = None if password is None else f"{url.before}{password}{url.after}"
    digests = {secret_name(name): "" if text is None else digest_of(text) for name, text in texts.items()}
    made = {database_name(name): now.databases.get(name, Database()).birth for name in databases}
    return {**digests, **made}


def secret_name(file: str) -> str:
    """Return what a secret is called among what a process uses."""
    return f"secret `{file}`"


def database_name(name: str) -> str:
    """Return what a database is called among what a process uses."""
    return f"database `{name}`"


def _url_file(value: ServerFile) -> str:
    """Return the name of the file that holds a server's URL."""
    return f"{addresses.server_secret(value)}.url"


def _content(view: View) -> str:
    """Return a digest of the files that a process reads, whose names do not change with their content."""
    servers = {file.kind: view.others.get(file.kind) for file in view.resolved.server_files}
    return digest_of(json.dumps([servers, view.json(dict(view.resolved.workload.configs))], sort_keys=True))


def _probe(probe: HttpProbe, own: Mapping[str, int]) -> Probe:
    return Probe("http", own[probe.port], probe.path, probe.interval, probe.timeout, probe.deadline)


def _environment(site: Site, view: View, now: LocalState) -> dict[str, str]:
    workload, out = view.resolved.workload, site.out
    sources = (out / workload.context / "src", out / "chassis" / "src")
    return {
        **now.session,
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        # Keeps the rendered tree clean. A PYTHONPYCACHEPREFIX would start empty: a second more for every service.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOST": HOST,
        "ADVERTISE_HOST": HOST,
        "SERVICE": workload.name,
        "INSTANCE": view.instance,
        **{port.env: str(view.own[port.name]) for port in workload.ports if port.env},
        **{key: view.text(value) for key, value in workload.env.items()},
    }
