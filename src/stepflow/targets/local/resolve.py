"""References become text: what an endpoint, a secret or a directory is for a process on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets import addresses
from stepflow.targets.addresses import Numbers
from stepflow.targets.local.layout import Layout
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import inside, secret_file, secret_text
from stepflow.targets.wholefile import write_whole
from stepflow.workload import Json, Workload


@dataclass(frozen=True, slots=True)
class Resolver:
    """One instance's view."""

    layout: Layout
    workload: Workload
    instance: str
    own: Mapping[str, int]  # this instance's ports
    others: Numbers

    def text(self, value: Value) -> str:
        """Resolve one value of an environment or a command. Raises `PermanentError` for what does not exist."""
        match value:
            case str():
                return value
            case Endpoint():
                own = value.workload == self.workload.name
                return addresses.endpoint(value, HOST, {value.workload: self.own} if own else self.others)
            case SecretFile():
                return str(secret_file(self.layout.secrets, value.name))
            case ServerFile():
                return self._server(value)
            case DataDir():
                return self._data(value)
            case ConfigFile():
                return self._config(value)

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

    def _data(self, value: DataDir) -> str:
        folder = self.layout.data / inside(value.name)
        folder.mkdir(exist_ok=True, mode=0o700)
        return str(folder)

    def _config(self, value: ConfigFile) -> str:
        if value.name not in self.workload.configs:
            raise PermanentError(f"workload `{self.workload.name}` has no config `{value.name}`")
        folder = self.layout.configs / self.instance
        folder.mkdir(exist_ok=True, mode=0o700)
        path = folder / inside(value.name)
        write_whole(path, json.dumps(self.json(self.workload.configs[value.name]), indent=1))
        return str(path)

    def _server(self, value: ServerFile) -> str:
        numbers = self.others.get(value.kind)
        if numbers is None:
            raise PermanentError(f"workload `{self.workload.name}` refers to `{value.kind}`, which nobody declared")
        path = self.layout.secrets / f"{addresses.server_secret(value)}.url"
        write_whole(path, server_url(self.layout, value, numbers))
        return str(path)


def server_url(layout: Layout, value: ServerFile, numbers: Mapping[str, int]) -> str:
    """Give the address of a backing service with its password."""
    url = addresses.server_url(value, HOST, numbers[value.kind])
    return f"{url.before}{secret_text(layout.secrets, url.secret)}{url.after}"
