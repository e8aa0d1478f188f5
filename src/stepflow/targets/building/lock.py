"""Locks: requirements pinned by version and hash; read, and compared with what the sources require."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from stepflow.errors import PermanentError

NAME = "requirements.lock"
_HASH = "--hash="


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock: exactly one version, and the files of it that may be installed."""

    requirement: Requirement
    version: Version
    hashes: frozenset[str]  # `sha256:...`

    @property
    def name(self) -> str:
        """Return the package's canonical name."""
        return canonicalize_name(self.requirement.name)

    def fits(self, markers: Mapping[str, str]) -> bool:
        """Return whether it is for a Python with these markers."""
        return self.requirement.marker is None or self.requirement.marker.evaluate(dict(markers))

    def __str__(self) -> str:
        """Return it as a requirements file has it, without its marker."""
        return " ".join([f"{self.name}=={self.version}", *(f"{_HASH}{each}" for each in sorted(self.hashes))])


def read(text: str, file: Path) -> tuple[Pin, ...]:
    """Read a lock. Raises `PermanentError`, naming the line, for what is not pinned with hashes."""
    return tuple(_pin(line, number, file) for number, line in _lines(text))


def unmet(pins: Iterable[Pin], wanted: Iterable[str], markers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the requirements that a lock does not meet for a Python with these markers."""
    there = {pin.name: pin for pin in pins if pin.fits(markers)}
    return tuple(text for text in wanted if not _met(there, text, markers))


def _met(there: Mapping[str, Pin], text: str, markers: Mapping[str, str]) -> bool:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise PermanentError(f"the dependency `{text}` cannot be read: {error}", hint="fix `pyproject.toml`") from error
    if requirement.marker is not None and not requirement.marker.evaluate(dict(markers)):
        return True
    pin = there.get(canonicalize_name(requirement.name))
    if pin is None or requirement.url:
        return False
    return requirement.extras <= pin.requirement.extras and requirement.specifier.contains(
        pin.version, prereleases=True
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, continued ones as one, each with the number of its first."""
    said, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = "" if line.lstrip().startswith("#") else line.split(" #")[0].strip()
        first = first if said else number
        said += bare.removesuffix("\\")
        if bare and not bare.endswith("\\"):
            yield first, said
            said = ""
    if said.strip():
        yield first, said


def _pin(line: str, number: int, file: Path) -> Pin:
    words = line.split()
    hashes = frozenset(word.removeprefix(_HASH) for word in words if word.startswith(_HASH))
    bare = " ".join(word for word in words if not word.startswith(_HASH))
    hint = f"remove `{file}`, and stepflow resolves the dependencies itself; or write it with `uv pip compile`"
    try:
        requirement = Requirement(bare)
    except InvalidRequirement as error:
        raise PermanentError(f"`{file}`, line {number}: `{bare}` is not a requirement", hint=hint) from error
    pinned = [each for each in requirement.specifier if each.operator == "==" and not each.version.endswith("*")]
    if len(pinned) != 1 or len(requirement.specifier) != 1:
        raise PermanentError(f"`{file}`, line {number}: `{bare}` is not pinned to one version", hint=hint)
    if not hashes:
        raise PermanentError(f"`{file}`, line {number}: `{bare}` has no `--hash=sha256:...`", hint=hint)
    return Pin(requirement, Version(pinned[0].version), hashes)
