"""Marks what belongs to a platform: its random id on a target, the names made from it, and the labels."""

from __future__ import annotations

import re
import secrets
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from stepflow.errors import PermanentError
from stepflow.targets.contract import Site
from stepflow.targets.wholefile import write_once

PLATFORM = "dev.stepflow.platform"
ID = "dev.stepflow.id"
STATE = "dev.stepflow.state"  # path of the state directory
KIND = "dev.stepflow.kind"
NAME = "dev.stepflow.name"  # of the workload or server that it belongs to
_ID = re.compile(r"[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Identity:
    """One platform on one target. Two checkouts of the same name have different ids and do not meet."""

    platform: str
    id: str
    state: Path
    target: ClassVar[str]  # names the folder of the state directory that has the id

    @staticmethod
    @abstractmethod
    def listing(state: Path) -> str:
        """Return the command that lists what was made for a state directory, whatever its id is."""

    @property
    def prefix(self) -> str:
        """The prefix of the names of all that is this platform's."""
        return f"{self.platform}-{self.id}"

    @property
    def secrets(self) -> Path:
        """The folder of this platform's secrets."""
        return self.state / "secrets"

    @property
    def private(self) -> Path:
        """The folder that only this target reads."""
        return self.state / self.target

    @property
    def logs(self) -> Path:
        """The folder of the logs of builds."""
        return self.state / "logs"

    def labels(self, kind: str, name: str = "") -> dict[str, str]:
        """Return the labels that name the owner of an object."""
        whose = {PLATFORM: self.platform, ID: self.id, STATE: str(self.state), KIND: kind}
        return {**whose, NAME: name} if name else whose

    def filters(self, *more: str) -> dict[str, list[str]]:
        """Return the filter with which an engine lists only what is this platform's."""
        return {"label": [f"{ID}={self.id}", *more]}

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        """Return whether an object with these labels is this platform's."""
        return (labels or {}).get(ID) == self.id

    @classmethod
    def known(cls, site: Site) -> Self | None:
        """Return the identity of a platform that was ever made here; None for any other.

        Raises `PermanentError` for an id that was spoilt, and in a copy of a state directory that is still there:
        it would change, or remove, the platform of the other.
        """
        state = site.state.resolve()
        number, home = read(state, cls.target)
        if not number:
            return None
        if not _ID.fullmatch(number):
            hint = f"`{cls.listing(state)}` lists what is there"
            raise PermanentError(f"`{_file(state, cls.target)}` holds no platform's id", hint=hint)
        if _copied(state, cls.target, home, number):
            raise PermanentError(
                f"`{state}` is a copy of `{home}`, whose platform it would change",
                hint=f"`rm -r {state / cls.target}`: the copy then gets a platform of its own",
            )
        return cls(site.platform, number, state)

    @classmethod
    def of(cls, site: Site) -> Self:
        """Return a platform's identity; made, with the folders for its secrets and logs, when it is not there."""
        state = site.state.resolve()
        for folder in (state / cls.target, state / "secrets", state / "logs"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = cls.known(site)
        file = _file(state, cls.target)
        if found is None:
            write_once(file, f"{secrets.token_hex(3)}\n{state}\n", errors="surrogateescape")
            found = cls.known(site)
        if found is None:
            raise PermanentError(f"`{file}` vanished", hint="is another process removing this platform?")
        return found


def read(state: Path, target: str) -> tuple[str, Path]:
    """Return the id in a state directory, "" when there is none, and the state directory that it was made for."""
    try:
        text = _file(state, target).read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return "", state
    number, _, home = text.partition("\n")
    return number.strip() or "none", Path(home.removesuffix("\n") or state)


def _copied(state: Path, target: str, home: Path, number: str) -> bool:
    try:
        return home != state and read(home, target)[0] == number and not home.samefile(state)
    except OSError:  # another user's
        return False


def _file(state: Path, target: str) -> Path:
    return state / target / "id"
