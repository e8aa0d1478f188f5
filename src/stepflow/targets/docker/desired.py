"""From a declaration, which knows no machine, to the containers that carry it out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets.addresses import CLIENT_PORTS, endpoint, port_number, server_secret, server_url
from stepflow.targets.docker.container import (
    DATA,
    FILES,
    LIMITS,
    Build,
    Container,
    File,
    HostPort,
    Listen,
    Pieces,
    Secret,
    Volume,
)
from stepflow.targets.docker.servers import database, server, setup_name
from stepflow.targets.envoy import ARGUMENTS
from stepflow.targets.images import image
from stepflow.targets.ports import HOST
from stepflow.targets.resolution import Numbers, Resolution
from stepflow.targets.resolved import Resolved
from stepflow.targets.secretfiles import inside
from stepflow.workload import Json

EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container; the network is the platform's own
FOLDER = "data"
"""The folder in a DataDir's volume that the workload is handed."""
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")
_PYTHON = {"PYTHONDONTWRITEBYTECODE": ("1",), "PYTHONUNBUFFERED": ("1",)}  # the root file system is read-only
_ASK_IN_PYTHON = (
    "import sys, http.client as http; sys.tracebacklimit = 0; _, port, path, timeout = sys.argv; "
    "asked = http.HTTPConnection('127.0.0.1', int(port), timeout=float(timeout)); asked.request('GET', path); "
    "sys.exit(asked.getresponse().status // 100 != 2)"
)
_ASK_IN_BASH = (
    'exec 3<>"/dev/tcp/127.0.0.1/$0" && '
    'printf "GET %s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n" "$1" >&3 && '
    'read -r -t "$2" _ status _ <&3 && [[ $status == 2* ]]'
)


def containers(resolution: Resolution, options: Mapping[str, str], known: Numbers) -> tuple[Container, ...]:
    """Return the servers that are declared or referred to, what sets their databases up, and the workloads.

    `known` holds the ports of workloads that earlier declarations created. Raises `PermanentError` for a reference to
    what does not exist, `UsageError` for an image that is not one.
    """
    numbers = {**known, **resolution.numbers}
    return (
        *(server(kind, options) for kind in resolution.servers),
        *(database(name, options) for name in resolution.databases),
        *(define(each, numbers, options, resolution.digests.get(each.name, "")) for each in resolution.workloads),
    )


def define(resolved: Resolved, numbers: Numbers, options: Mapping[str, str], digest: str) -> Container:
    """Return a workload's container; what differs between its copies (`INSTANCE`, `ADVERTISE_HOST`) is left out."""
    workload, view = resolved.workload, _View(resolved, numbers)
    envoy = _program(resolved) == "envoy"
    return Container(
        name=_name(resolved.name),
        kind="workload",
        image=str(image("envoy", options)) if envoy else Build(workload.context),
        command=(*map(view.text, workload.command), *((word,) for word in (ARGUMENTS if envoy else ()))),
        limits=LIMITS["envoy" if envoy else "service"],
        env=_environment(view, {} if envoy else _PYTHON),
        files=view.files(),
        volumes=tuple(Volume(name, f"{DATA}/{inside(name)}", FOLDER) for name in resolved.data),
        listens=tuple(Listen(p.name, p.number, p.number if p.published else None) for p in workload.ports),
        health=_health(resolved, in_bash=envoy),
        ready=workload.ready,
        needs=_needs(resolved),
        replicas=workload.replicas,
        stop_grace=workload.stop_grace,
        drain=resolved.ports.get("admin") if envoy else None,
        deadline=workload.ready.deadline,
        digest=digest,
    )


def _program(resolved: Resolved) -> str:
    if resolved.program != "envoy" and not resolved.workload.context:
        raise PermanentError(
            f"workload `{resolved.name}` runs `{resolved.program}`, for which no image is known",
            hint="known is `envoy`; any other program needs a `context` with a Dockerfile",
        )
    return resolved.program


def _name(name: str) -> str:
    taken = name in CLIENT_PORTS or name.startswith(setup_name(""))
    if taken or not _NAME.fullmatch(name):
        raise PermanentError(
            f"`{name}` cannot be a container's name",
            hint="use up to 50 lower-case letters, digits and `-`, and not the name of a server or `database-…`",
        )
    return name


def _environment(view: _View, base: Mapping[str, Pieces]) -> dict[str, Pieces]:
    workload = view.resolved.workload
    return {
        **base,
        "HOST": (EVERYWHERE,),
        "SERVICE": (workload.name,),
        **{port.env: (str(port.number),) for port in workload.ports if port.env},
        **{key: view.text(value) for key, value in workload.env.items()},
    }


def _health(resolved: Resolved, *, in_bash: bool) -> tuple[str, ...]:
    probe = resolved.workload.ready
    asked = (str(resolved.ports[probe.port]), probe.path, f"{probe.timeout:g}")
    return ("bash", "-c", _ASK_IN_BASH, *asked) if in_bash else ("python", "-c", _ASK_IN_PYTHON, *asked)


def _needs(resolved: Resolved) -> tuple[str, ...]:
    setups = (setup_name(name) for name in resolved.databases)
    return (*resolved.servers, *setups, *resolved.workload.needs)


@dataclass(frozen=True, slots=True)
class _View:
    """What one workload refers to, as text inside the platform's network."""

    resolved: Resolved
    numbers: Numbers  # of all workloads, its own among them

    def text(self, value: Value) -> Pieces:
        """Resolve one value of an environment or a command. Raises `PermanentError` for what does not exist."""
        match value:
            case str():
                return (value,)
            case Endpoint():
                return self._endpoint(value)
            case SecretFile() | ServerFile() | ConfigFile():
                return (self._file(value).path,)
            case DataDir():
                return (f"{DATA}/{inside(value.name)}/{FOLDER}",)

    def files(self) -> tuple[File, ...]:
        """Return the files that it refers to, each once."""
        resolved = self.resolved
        found: list[SecretFile | ServerFile | ConfigFile] = [*resolved.secrets, *resolved.server_files]
        files = {file.path: file for file in map(self._file, (*found, *resolved.configs))}
        return tuple(files[path] for path in sorted(files))

    def _endpoint(self, value: Endpoint) -> Pieces:
        port_number(value, self.numbers)
        match value.part:
            case "bind":
                return (EVERYWHERE,)
            case "public":
                return _joined((f"http://{HOST}:", HostPort(value.workload, value.port), value.path))
            case _:
                return (endpoint(value, value.workload, self.numbers),)

    def _file(self, value: SecretFile | ServerFile | ConfigFile) -> File:
        match value:
            case SecretFile():
                return File(f"{FILES}/secret-{inside(value.name)}", (Secret(value.name, value.given),))
            case ServerFile():
                url = server_url(value, value.kind, CLIENT_PORTS[value.kind])
                text = _joined((url.before, Secret(url.secret), url.after))
                return File(f"{FILES}/server-{server_secret(value)}.url", text)
            case ConfigFile():
                text = _joined(tuple(self._json(self.resolved.workload.configs[value.name])))
                return File(f"{FILES}/config-{inside(value.name)}", text)

    def _json(self, value: Json) -> Iterator[str | Secret | HostPort]:
        """Yield a configuration as JSON with its references resolved; a port becomes a number."""
        match value:
            case dict():
                yield "{"
                for index, (key, inner) in enumerate(value.items()):
                    yield f"{', ' if index else ''}{json.dumps(key)}: "
                    yield from self._json(inner)
                yield "}"
            case list():
                yield "["
                for index, inner in enumerate(value):
                    yield ", " if index else ""
                    yield from self._json(inner)
                yield "]"
            case None | bool() | int() | float() | str():
                yield json.dumps(value)
            case Endpoint(part="port"):
                yield str(port_number(value, self.numbers))
            case _:
                yield '"'
                yield from (json.dumps(p)[1:-1] if isinstance(p, str) else p for p in self.text(value))
                yield '"'


def _joined(pieces: Pieces) -> Pieces:
    """Join neighbouring texts, so that what reads the same is the same."""
    joined: list[str | Secret | HostPort] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return tuple(joined)
