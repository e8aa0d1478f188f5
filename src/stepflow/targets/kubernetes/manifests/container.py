"""A workload's container, and that of the Job that migrates its database: image, environment, files; what the workload
refers to, seen from inside the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets.addresses import endpoint, port_number
from stepflow.targets.resolved import Resolved
from stepflow.targets.secretfiles import inside
from stepflow.workload import Json

from . import objects
from .environment import Environment, environment, literal
from .model import Component, Object, Release
from .names import CONFIGS, DATA, secret_key, secret_name, secret_path
from .network import is_entry
from .slot import given, json_text, text

ENVOY = "envoy"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a pod; the NetworkPolicies say who gets through
_PYTHON = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}  # the root file system is read-only
_REPLICAS = 3  # that JetStream keeps of a stream; more nodes hold more streams


@dataclass(frozen=True, slots=True)
class Files:
    """What a workload's pods find as files."""

    config_maps: tuple[Object, ...]
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class View:
    """One workload as its pods see it. Its methods raise `PermanentError` for a reference to what does not exist."""

    release: Release
    resolved: Resolved

    def container(self, command: Sequence[Value], variables: Sequence[Object]) -> Object:
        """Return a container that runs a command. Raises `PermanentError` for a program that has no image."""
        return {
            "name": self.resolved.name,
            "image": self._image(),
            "command": [literal(self._text(part)) for part in command],
            "env": list(variables),
        }

    def environment(self) -> Environment:
        """Return what the workload is told."""
        workload = self.resolved.workload
        plain = {} if self.resolved.program == ENVOY else dict(_PYTHON)
        plain |= {"HOST": _EVERYWHERE, "SERVICE": workload.name}
        plain |= {port.env: str(port.number) for port in workload.ports if port.env}
        if ServerFile("nats") in self.resolved.server_files and not self.release.external("nats"):
            plain["NATS_REPLICAS"] = str(min(_REPLICAS, self.release.values.nats.nodes))
        plain |= {name: self._text(value) for name, value in workload.env.items()}
        return environment(plain, {"ADVERTISE_HOST": "status.podIP", "INSTANCE": "metadata.name"})

    def files(self, component: Component) -> Files:
        """Return its secrets and configurations as files; a ConfigMap belongs to the component."""
        keys: dict[str, set[str]] = {}
        for reference in secret_files(self.release, self.resolved):
            keys.setdefault(secret_name(self.release, reference), set()).add(secret_key(self.release, reference))
        volumes, mounts = objects.secret_volumes(keys)
        configs = sorted(self.resolved.workload.configs.items())
        texts = {name: text(json_text(self._json(document)), "\n") for name, document in configs}
        config_maps = [objects.config_map(self.release, component, texts)] if texts else []
        for volume, mount in map(objects.config_volume, config_maps):
            volumes.append(volume)
            mounts.append(mount)
        return Files(tuple(config_maps), tuple(volumes), tuple(mounts))

    def _image(self) -> str:
        context, program = self.resolved.workload.context, self.resolved.program
        if program == ENVOY:
            return self.release.image(ENVOY)
        if not context:
            raise PermanentError(
                f"workload `{self.resolved.name}` runs `{program}`, for which no image is known",
                hint="known is `envoy`; any other program needs a `context` with a Dockerfile",
            )
        if context not in self.release.built:
            raise PermanentError(f"no image of `{context}`, which `{self.resolved.name}` runs, was built")
        return self.release.built[context]

    def _text(self, value: Value) -> str:
        """Resolve one value of a command or an environment."""
        match value:
            case str():
                return value
            case Endpoint():
                return self._endpoint(value)
            case SecretFile() | ServerFile():
                return secret_path(self.release, value)
            case DataDir():
                return f"{DATA}/{inside(value.name)}"
            case ConfigFile():
                return f"{CONFIGS}/{inside(value.name)}"

    def _json(self, value: Json) -> Any:  # noqa: ANN401 - any JSON
        """Resolve the references in a configuration; a port becomes a number."""
        match value:
            case dict():
                return {key: self._json(inner) for key, inner in value.items()}
            case list():
                return [self._json(inner) for inner in value]
            case Endpoint(part="port"):
                return port_number(value, self.release.numbers)
            case Endpoint() | SecretFile() | ServerFile() | DataDir() | ConfigFile():
                return self._text(value)
            case _:
                return value

    def _endpoint(self, value: Endpoint) -> str:
        release = self.release
        number = port_number(value, release.numbers)
        match value.part:
            case "bind":
                return _EVERYWHERE
            case "public" if release.values.entry and is_entry(release, value.workload, value.port):
                return f"https://{release.values.entry.host}{value.path}"
            case "public":
                forwarded = f"http://localhost:{number}{value.path}"  # what `stepflow open` forwards
                if release.host is None or not is_entry(release, value.workload, value.port):
                    return forwarded
                return given(release.host, text("https://", release.host, value.path), forwarded)
            case _:
                return endpoint(value, value.workload, release.numbers)


def secret_files(release: Release, resolved: Resolved) -> tuple[SecretFile | ServerFile, ...]:
    """Return the secrets that a workload reads from files, each file once, in order."""
    files: tuple[SecretFile | ServerFile, ...] = (*resolved.secrets, *resolved.server_files)
    found = {secret_path(release, each): each for each in files}
    return tuple(found[path] for path in sorted(found))
