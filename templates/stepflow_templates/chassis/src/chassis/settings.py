"""Configuration from the environment, checked before anything starts.

Every field `x` is read from the variable `X`, or from the file that `X_FILE` names (for secrets).
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

EX_CONFIG = 78  # sysexits.h


class UnreadableFileError(Exception):
    """A `*_FILE` variable names a file that cannot be read."""


class FileSource(PydanticBaseSettingsSource):
    """Reads the value of field `x` from the file named by `X_FILE`, without its trailing line break."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the file's text, or None where no file is named."""
        del field
        variable = f"{field_name.upper()}_FILE"
        path = os.environ.get(variable, "")
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UnreadableFileError(f"{variable}: cannot read `{path}`: {reason}") from error

    def __call__(self) -> dict[str, Any]:
        """Collect the values of all fields that have a file."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Identity(BaseSettings):
    """What every program of a service reads: its name, and how much it logs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    service: str
    instance: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def instance_name(self) -> str:
        """Name this copy: `INSTANCE`, or the service with the host's name, and the process id where the host does not
        identify the copy.
        """
        pid = os.getpid()
        host = socket.gethostname().partition(".")[0]
        return self.instance or f"{self.service}-{host}" + (f"-{pid}" if pid > 1 else "")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the files that it names."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, FileSource(settings_cls)


class Settings(Identity):
    """What every service reads. Subclass it and add fields; `service` gets a default there."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    advertise_host: str = ""
    nats_url: SecretStr
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """How many copies JetStream keeps; more than one needs a cluster."""
    drain_seconds: float = Field(default=1.0, ge=0, le=60)
    """How long requests are still accepted after leaving the registry, so that the gateway has noticed."""
    shutdown_seconds: int = Field(default=10, ge=1, le=300)
    """How long requests in flight may take to finish at shutdown."""

    @property
    def advertised(self) -> str:
        """The address at which others reach this copy: `ADVERTISE_HOST`, `HOST` where that is one, else the host's."""
        if self.advertise_host:
            return self.advertise_host
        if self.host not in {"0.0.0.0", "::"}:  # noqa: S104 - compared with, not bound to
            return self.host
        try:
            return address(socket.gethostname())
        except OSError:  # a machine that cannot resolve its own name
            return "127.0.0.1"

    @field_validator("advertise_host")
    @classmethod
    def _address(cls, value: str) -> str:
        """Resolve a name: the gateway takes addresses only."""
        try:
            return address(value) if value else ""
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no host name"
            raise ValueError(f"`{value}` cannot be resolved: {reason}") from error


def address(host: str) -> str:
    """Return a host's address, of IPv4 if it has one; an address stays as it is. Raises `OSError`."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])


@runtime_checkable
class HasDatabase(Protocol):
    """Settings of a service with a database."""

    database_url: SecretStr


S = TypeVar("S", bound=Identity)


def problems(error: ValidationError) -> list[str]:
    """Format each problem as a line, with the variable's name and never with its value."""
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in item["loc"]).upper()
        if item["type"] == "missing":
            lines.append(f"{name} is not set (nor {name}_FILE)")
        else:
            lines.append(f"{name}: {item['msg']}")
    return lines


def load(cls: type[S]) -> S:
    """Read the settings; on any problem print one message that names them all and exit 78 (EX_CONFIG)."""
    try:
        return cls()
    except ValidationError as error:
        found = problems(error)
    except UnreadableFileError as error:
        found = [str(error)]
    text = "\n".join(f"  - {line}" for line in found)
    sys.stderr.write(f"error: the configuration is wrong:\n{text}\nhint: set the environment variables named above\n")
    raise SystemExit(EX_CONFIG)
