"""A container with all filled in that only this machine knows; what is not known yet is None. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepflow.errors import PermanentError
from stepflow.targets.docker.container import FILES, Build, Container, HostPort, Pieces, Secret
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.inspected import MEMORY, PROCESSES, PROCESSORS, SWAP, UPDATABLE, ContainerRecord, labels
from stepflow.targets.ports import HOST

SALT = "label-salt"
"""A secret of the platform's own: with it, a hash in a label tells nothing of a secret that could be guessed."""
ChosenPorts = Mapping[str, Mapping[str, int | None]]
"""Workload -> port -> its number on this machine; None when it is not chosen yet."""
_DIGITS = 12  # of a part's hash: enough to tell two versions of the same part apart
_SECOND = 1_000_000_000  # nanoseconds, the engine's unit
_MIB = 1024 * 1024
_TMPFS = "rw,noexec,nosuid,nodev,size=64m,mode=1777"
_LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}


@dataclass(frozen=True, slots=True)
class Machine:
    """The limits that the engine can hold a container to: a rootless one often lacks some."""

    memory: bool = True
    swap: bool = True
    processes: bool = True
    processors: int = 4  # there are; 0 when it cannot limit their use

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Machine:
        """Read what the engine tells of itself."""
        processors = info["NCPU"] if info["CpuCfsQuota"] else 0
        return cls(info["MemoryLimit"], info["MemoryLimit"] and info["SwapLimit"], info["PidsLimit"], processors)


@dataclass(frozen=True, slots=True)
class Filled:
    """A container as it should be on this engine."""

    container: Container
    image: str | None  # its id, `sha256:...`
    chosen: ChosenPorts = field(default_factory=dict)
    seals: Mapping[str, str] = field(default_factory=dict)  # secret that exists -> salted hash
    births: Mapping[str, str] = field(default_factory=dict)  # server that it uses -> what tells its data from any other

    @property
    def published(self) -> dict[str, int | None]:
        """The numbers at which people reach its ports on this machine, as far as they are chosen."""
        own = self.chosen.get(self.container.name, {})
        return {each.name: own.get(each.name) for each in self.container.listens if each.wish is not None}

    @property
    def in_place(self) -> bool:
        """Whether two of it cannot run at once: its data or its port on this machine is for one."""
        container = self.container
        return container.kind != "workload" or bool(container.volumes) or bool(self.published)

    def instance(self, number: int) -> str:
        """Return the name of a copy; what there is only one of has its own name."""
        return f"{self.container.name}-{number}" if self.container.kind == "workload" else self.container.name

    def text(self, text: Pieces, secrets: Mapping[str, str]) -> str | None:
        """Join a text, or return None when a port in it is not chosen yet.

        Raises `PermanentError` for a port that people do not reach.
        """
        pieces = [self._piece(piece, secrets) for piece in text]
        return None if None in pieces else "".join(piece or "" for piece in pieces)

    def _piece(self, piece: str | Secret | HostPort, secrets: Mapping[str, str]) -> str | None:
        match piece:
            case str():
                return piece
            case Secret():
                return secrets[piece.name]
            case HostPort():
                number = port_number(self.chosen, piece)
                return None if number is None else str(number)

    @property
    def parts(self) -> dict[str, str | None]:
        """Hashes of what cannot be inspected, by name; secrets by their salted hashes."""
        container = self.container
        return {
            **{f"variable `{name}`": self._hashed(text) for name, text in sorted(container.env.items())},
            **{f"configuration `{_short(file.path)}`": self._hashed(file.content) for file in container.files},
            **{f"data of `{name}`": _hash(birth) for name, birth in self.births.items()},
        }

    def _hashed(self, text: Pieces) -> str | None:
        names = [piece.name for piece in text if isinstance(piece, Secret)]
        put = self.text(text, {name: self.seals.get(name, "does not exist") for name in names})
        return None if put is None else _hash(put)

    def record(self, number: int) -> ContainerRecord:
        """Return how to look after a copy; of what is not known yet nothing is in it."""
        container = self.container
        return ContainerRecord(
            kind=container.kind,
            owner=container.name,
            number=number,
            digest=container.digest,
            parts={name: value for name, value in self.parts.items() if value is not None},
            listens={each.name: each.number for each in container.listens},
            published={name: chosen for name, chosen in self.published.items() if chosen is not None},
            ready=container.ready,
            health=container.health,
            needs=container.needs,
            grace=container.stop_grace,
            drain=container.drain,
            deadline=container.deadline,
        )

    def host_config(self, who: DockerIdentity, machine: Machine) -> dict[str, Any]:
        """Return how it may use the machine, as the engine's API says it: as little as it needs."""
        container = self.container
        data = [{"Type": "volume", "Source": who.volume(each.name), "Target": each.path} for each in container.volumes]
        # Without a name: its files are this container's alone, and the engine removes them with it, in one call.
        files = {"Type": "volume", "Target": FILES, "VolumeOptions": {"Labels": who.labels("files", container.name)}}
        return {
            "NetworkMode": who.prefix,
            "Mounts": [*data, files],
            "Tmpfs": dict.fromkeys(container.tmpfs, _TMPFS),
            "PortBindings": {f"{each.number}/tcp": [self._binding(each.name)] for each in container.listens},
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Init": True,  # reaps what a service leaves behind, and passes signals on
            "LogConfig": _LOGS,
            "RestartPolicy": {"Name": "no"},
            **self.limits(machine),
        }

    def limits(self, machine: Machine) -> dict[str, int]:
        """Return how much it may use, as the engine's API says it, as far as the engine can hold it to that."""
        limits = self.container.limits
        held = {
            MEMORY: limits.memory * _MIB if machine.memory else 0,
            SWAP: limits.memory * _MIB if machine.swap else 0,
            PROCESSES: limits.pids if machine.processes else 0,
            PROCESSORS: int(min(limits.cpus, machine.processors) * _SECOND),
        }
        return {UPDATABLE[field]: value for field, value in held.items() if value}

    def config(self) -> dict[str, Any]:
        """Return what runs in it, as the engine's API says it, but for its environment and labels."""
        container = self.container
        return {
            "Cmd": [self._shown(text) for text in container.command],
            "User": container.user,
            "StopSignal": container.stop_signal,
            "Healthcheck": _health(container),
        }

    def environment(self, number: int) -> dict[str, str | None]:
        """Return the variables of a copy. Raises `PermanentError` for a secret in one, where others could read it."""
        environment = {name: self._shown(text) for name, text in self.container.env.items()}
        if self.container.kind == "workload":
            environment |= dict.fromkeys(("INSTANCE", "ADVERTISE_HOST"), self.instance(number))
        return environment

    def creation(self, number: int, who: DockerIdentity, machine: Machine) -> dict[str, Any]:
        """Return what the engine is sent to create a copy.

        Raises `PermanentError` for a secret in a command or a variable, where others could read it.
        """
        container = self.container
        return {
            **self.config(),
            "Image": self.image,
            "Hostname": self.instance(number),
            "Env": [f"{name}={value}" for name, value in self.environment(number).items()],
            "ExposedPorts": {f"{each.number}/tcp": {} for each in container.listens},
            "Labels": {**who.labels(container.kind, container.name), **labels(self.record(number))},
            "HostConfig": self.host_config(who, machine),
            "NetworkingConfig": {"EndpointsConfig": {who.prefix: {"Aliases": [container.name]}}},
        }

    def _binding(self, name: str) -> dict[str, str]:
        number = self.published.get(name)
        return {"HostIp": HOST, "HostPort": "" if number is None else str(number)}

    def _shown(self, text: Pieces) -> str | None:
        secret = next((piece for piece in text if isinstance(piece, Secret)), None)
        if secret is not None:
            name = self.container.name
            raise PermanentError(f"`{name}` would show the secret `{secret.name}` in its command or environment")
        return self.text(text, {})


def port_number(chosen: ChosenPorts, port: HostPort) -> int | None:
    """Return the number that a placeholder stands for. Raises `PermanentError` for a port that people do not reach."""
    ports = chosen.get(port.workload, {})
    if port.port not in ports:
        raise PermanentError(f"the port `{port.port}` of `{port.workload}` is not published, or does not exist yet")
    return ports[port.port]


def seal(salt: str, secret: str) -> str:
    """Return the salted hash that stands for a secret."""
    return _hash(salt + secret)


def build_context(container: Container) -> str:
    """Return the folder that its image is built from; "" for an official one."""
    return container.image.context if isinstance(container.image, Build) else ""


def _health(container: Container) -> dict[str, Any]:
    if not container.health or container.kind == "setup":
        return {"Test": ["NONE"]}
    return {
        "Test": ["CMD", *container.health],
        "Interval": 10 * _SECOND,
        "Timeout": 5 * _SECOND,
        "Retries": 3,
        "StartPeriod": int(container.deadline * _SECOND),
    }


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
