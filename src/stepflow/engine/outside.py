"""What commands read from outside: variables of the environment or of `.env`, secrets, and files.

A step runs again when one of them is another one. Variables are recorded as keyed hashes (HMAC, RFC 2104) with a key
that only this platform has, so that a record cannot be searched for the values of secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepflow.durable import write_durably
from stepflow.engine.contents import contents
from stepflow.errors import UsageError
from stepflow.targets.contract import Site
from stepflow.workload import Job

KEY = "hash.key"
"""The file in the state directory that holds the key."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The world of one platform's commands, as it is when it is asked."""

    root: Path  # the working directory
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment, and where it has none, of `.env`
    key: bytes = b""

    def parts(self, jobs: Iterable[Job]) -> dict[str, str]:
        """Return the parts of a fingerprint for what these jobs read."""
        parts: dict[str, str] = {}
        for job in jobs:
            parts |= {f"input:{each}": contents(each, self.root, job.creates) for each in job.inputs}
            parts |= {f"env:{each}": self._hashed(each) for each in job.takes}
            parts |= {f"secret:{each}": self._hashed(each) for each in job.secrets}
        return parts

    def created(self, jobs: Iterable[Job]) -> dict[str, str]:
        """Return the digests of what these jobs create, by path or glob."""
        return {each: contents(each, self.root) for job in jobs for each in job.creates}

    def given(self, job: Job) -> dict[str, str]:
        """Return the variables that a job takes from outside."""
        return {name: self.variables[name] for name in (*job.takes, *job.secrets) if name in self.variables}

    def lacking(self, jobs: Iterable[Job]) -> Iterator[str]:
        """Name the variables that jobs take and that are not set."""
        return (name for job in jobs for name in (*job.takes, *job.secrets) if name not in self.variables)

    def secrets(self, jobs: Iterable[Job]) -> frozenset[str]:
        """Return the values that must not be shown."""
        return frozenset(self.variables[name] for job in jobs for name in job.secrets if self.variables.get(name))

    def _hashed(self, name: str) -> str:
        value = self.variables.get(name, "").encode(errors="surrogateescape")
        return hmac.new(self.key, value, hashlib.sha256).hexdigest()[:32]


def look_outside(site: Site) -> Outside:
    """Return the outside of a platform. Raises `UsageError` for a `.env` file that cannot be read."""
    root = site.state.parents[1]
    return Outside(root, {**_dotenv(root / ".env"), **os.environ}, _key(site.state))


def make_key(state: Path) -> None:
    """Make the key of a platform, once."""
    if not (state / KEY).exists():
        write_durably(state / KEY, secrets.token_bytes(32))


def _key(state: Path) -> bytes:
    try:
        return (state / KEY).read_bytes()
    except FileNotFoundError:  # no run has recorded anything that it would be compared with
        return b""


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - few documents need it

    try:
        return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"`{path.name}` cannot be read: {error}", hint="write lines `NAME=value`, in UTF-8") from error
