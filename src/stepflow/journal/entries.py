"""What is written to the journal: the steps of a document, an attempt before it begins, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Declared:
    """A step as a run's document has it."""

    key: int
    number: int
    title: str
    playbook: str
    id: str = ""
    content: str = ""  # digest of what the document says of it, without its title and number


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is written before a step is worked on."""

    step: int  # its key
    title: str
    playbook: str
    fingerprint: str
    components: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # path that it sets out to render -> digest
    workloads: Sequence[str] = ()
    reasons: Sequence[str] = ()
    log: str = ""
    number: int | None = None  # where it stands in the document, if that is not its key
    form: int = 1  # in which the components are written
    accepted: Mapping[str, Sequence[str]] = field(default_factory=dict)  # workload -> its digest, the one that runs
    owned: Mapping[str, str] = field(default_factory=dict)  # path -> digest of what it had rendered before


@dataclass(frozen=True, slots=True)
class Result:
    """What is written when a step is over."""

    outcome: str
    handoff: Mapping[str, Any] | None = None
    written: Mapping[str, Any] | None = None  # what its job added to the handoff
    error: Mapping[str, Any] | None = None  # type, message, details
    files: Mapping[str, str] = field(default_factory=dict)  # rendered path -> digest, as it was really written
    seconds: float = 0.0  # that it took, where nothing is done now
