"""A container as it should be: what the engine is asked for and what `compose.yaml` says, both from this one value.

Nothing in it names a machine. What is only known later (a secret's text, the port that people use) stands in it as a
placeholder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stepflow.workload import HttpProbe

FILES = "/run/stepflow"
"""Where a container finds its own secrets and configurations: a volume of its own, written before it starts."""
DATA = "/var/lib/stepflow"
"""Where its DataDirs are, a volume each."""
USER = 65532
"""The user and group that services run as (`nonroot` of the distroless images)."""

ContainerKind = Literal["workload", "server", "setup"]


@dataclass(frozen=True, slots=True)
class Secret:
    """Stands for the text of a secret of this platform; allowed in the content of a `File` and nowhere else."""

    name: str
    given: bool = False  # a person puts it there; it is never generated


@dataclass(frozen=True, slots=True)
class HostPort:
    """Stands for the number at which people reach a published port on 127.0.0.1."""

    workload: str
    port: str


Pieces = tuple[str | Secret | HostPort, ...]
"""Pieces that make a text when they are put together."""


@dataclass(frozen=True, slots=True)
class File:
    """A file below `FILES`: owned by root, readable by the container's group alone (0440)."""

    path: str  # absolute, inside the container
    content: Pieces


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume that outlives its container; removed only by `down --data`."""

    name: str  # within the platform, `postgres` or `mails`
    path: str  # where it is mounted
    folder: str = ""  # a folder in it that is made before the start, owned by the container's user, mode 0700


@dataclass(frozen=True, slots=True)
class Build:
    """An image that is built from a folder of the rendered tree."""

    context: str


@dataclass(frozen=True, slots=True)
class Listen:
    """A port inside the container. `wish` is the number on the host that people expect, None when it is internal."""

    name: str
    number: int
    wish: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use at most."""

    memory: int  # MiB
    pids: int
    cpus: float


LIMITS: Mapping[str, Limits] = {
    "service": Limits(memory=768, pids=256, cpus=2.0),
    "envoy": Limits(memory=512, pids=128, cpus=2.0),
    "nats": Limits(memory=512, pids=128, cpus=2.0),
    "postgres": Limits(memory=1024, pids=512, cpus=2.0),
    "valkey": Limits(memory=256, pids=64, cpus=1.0),
    "setup": Limits(memory=128, pids=32, cpus=1.0),
}
"""By what it runs: a service, a server, a program, or the kind `setup`. Some ten times what it was seen to use in the
reference platform (services 55 to 75 MiB, PostgreSQL 135), so that one that runs away fails alone.
"""


@dataclass(frozen=True, slots=True)
class Container:
    """One service of the platform on an engine; `replicas` containers are made of it."""

    name: str  # also its name in the platform's network
    kind: ContainerKind
    image: str | Build  # a reference from the table of images, or what is built
    command: tuple[Pieces, ...]
    limits: Limits
    user: str = f"{USER}:{USER}"
    env: Mapping[str, Pieces] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108 - a mount point in a read-only root, not a file of ours
    listens: tuple[Listen, ...] = ()
    health: tuple[str, ...] = ()  # a command inside it that succeeds when it is ready; () when there is none
    ready: HttpProbe | None = None  # the same question, asked from the host
    needs: tuple[str, ...] = ()  # what must be ready (of kind `setup`: have succeeded) before it starts
    replicas: int = 1
    stop_signal: str = "SIGTERM"
    stop_grace: float = 15.0  # seconds from the stop signal to SIGKILL
    drain: int | None = None  # Envoy's admin port, asked to drain before it is stopped
    deadline: float = 60.0  # seconds that a start may take
    digest: str = ""  # the engine's, of all that a workload is made from


def words(*texts: str) -> tuple[Pieces, ...]:
    """Return a command of plain words."""
    return tuple((text,) for text in texts)
