"""References become text: what an endpoint, a secret or a directory is inside the platform's network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets.addresses import CLIENT_PORTS, Numbers, endpoint, port_number, server_secret, server_url
from stepflow.targets.docker.container import DATA, FILES, File, HostPort, Secret, Text, Volume
from stepflow.targets.ports import HOST
from stepflow.targets.references import references
from stepflow.targets.secretfiles import inside
from stepflow.workload import Json, Workload

EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container; the network is the platform's own
FOLDER = "data"
"""The folder in a DataDir's volume that the workload is handed."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """One workload's view."""

    workload: Workload
    numbers: Numbers  # of all workloads, its own among them

    def text(self, value: Value) -> Text:
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
        """List the files that it refers to, each once."""
        found = (v for v in references(self.workload) if isinstance(v, SecretFile | ServerFile | ConfigFile))
        files = {file.path: file for file in map(self._file, found)}
        return tuple(files[path] for path in sorted(files))

    def volumes(self) -> tuple[Volume, ...]:
        """List the volumes of its data."""
        referred = {value.name for value in references(self.workload) if isinstance(value, DataDir)}
        names = sorted({*self.workload.data, *referred})
        return tuple(Volume(name, f"{DATA}/{inside(name)}", FOLDER) for name in names)

    def _endpoint(self, value: Endpoint) -> Text:
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
                if value.name not in self.workload.configs:
                    raise PermanentError(f"workload `{self.workload.name}` has no config `{value.name}`")
                text = _joined(tuple(self._json(self.workload.configs[value.name])))
                return File(f"{FILES}/config-{inside(value.name)}", text)

    def _json(self, value: Json) -> Iterator[str | Secret | HostPort]:
        """Write a configuration as JSON with its references resolved; a port becomes a number."""
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


def _joined(pieces: Text) -> Text:
    """Put neighbouring texts together, so that what reads the same is the same."""
    joined: list[str | Secret | HostPort] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return tuple(joined)
