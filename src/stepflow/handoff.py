"""What a step passes on: typed, versioned, secrets and addresses by reference.

A reference names a thing; what it resolves to depends on the viewpoint (the host, a container network, a cluster), so
the target resolves references as late as possible, and they are never flattened into text before.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

__all__ = [
    "ConfigFile",
    "Credential",
    "DataDir",
    "Endpoint",
    "Handoff",
    "JsonHandoff",
    "Part",
    "SecretFile",
    "ServerFile",
    "ServiceHandoff",
    "Value",
]

Part = Literal["url", "host", "port", "address", "bind", "public"]


@dataclass(frozen=True)
class Endpoint:
    """A port of a workload. `part` picks what it resolves to: `url` (`http://h:p` + path), `host`, `port`,
    `address` (`h:p`), `bind` (the address that the workload itself has to listen on), or `public` (the URL at which
    people reach it, which differs from `url` where workloads have a network of their own).
    """

    workload: str
    port: str = "http"
    part: Part = "url"
    path: str = ""


@dataclass(frozen=True)
class SecretFile:
    """A secret of this platform: random text, created by the target on first use, or `given`: known only to a person,
    who puts it where the target looks. Resolves to the path of a file that only the workload can read.

    Name the environment variable `SOMETHING_FILE`.
    """

    name: str
    given: bool = False


@dataclass(frozen=True)
class ServerFile:
    """How to reach a backing service, with its password: resolves to the path of a file that holds one URL.

    Name the environment variable `SOMETHING_URL_FILE`.
    """

    kind: Literal["nats", "postgres", "valkey"]
    database: str = ""


@dataclass(frozen=True)
class DataDir:
    """A directory of the workload that outlives it: resolves to its path; removed only by `down --data`."""

    name: str


@dataclass(frozen=True)
class ConfigFile:
    """One of the workload's `configs`, written with its references resolved: resolves to its path."""

    name: str


Value = str | Endpoint | SecretFile | ServerFile | DataDir | ConfigFile


@dataclass(frozen=True)
class Credential:
    """Something a person signs in with: shown by `stepflow credentials`, kept only as a reference."""

    kind: Literal["admin", "client"]
    identity: str  # the e-mail of an administrator, the client_id of a client
    secret: SecretFile


class Handoff(BaseModel):
    """The base of what a playbook gives. Subclass it, add typed fields, raise `version` when their meaning changes.

    A new field with a default runs nothing again. With another `version`, the steps that give it and those that take it
    run again; so does a step whose job, when it last ran, wrote what the type no longer allows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: ClassVar[int] = 1

    delivers: str = ""
    """The document's own words: the step's `Handoff` field."""
    credentials: tuple[Credential, ...] = ()


class ServiceHandoff(Handoff):
    """A running service: where it is, which paths of the gateway it answers, which events it publishes."""

    service: str
    endpoint: Endpoint
    routes: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()


class JsonHandoff(Handoff):
    """Free-form values, as a `shell` step writes them to `$STEPFLOW_HANDOFF`."""

    values: dict[str, Any] = {}
    creates: dict[str, str] = {}
    """What the step creates: path or glob -> digest of the contents."""
