"""What a document says: a frozen `Workflow` of steps and edges, each with its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stepflow.errors import Span


@dataclass(frozen=True, slots=True)
class Field:
    """A `- Key: value` item: the key as written, the whole value, and the place of each."""

    key: str
    value: str
    span: Span  # of the key
    value_span: Span


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` relies on `source`, an earlier step; why, and where the document says so."""

    source: int
    target: int
    reason: str
    span: Span
    kind: Literal["relies", "collects"] = "relies"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the document's prose and its place."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Step:
    """One block of the workflow."""

    number: int
    title: str
    playbook: str | None
    prompt: str
    handoff: str
    repo: str | None
    inputs: Mapping[str, Field]  # normalised key (lower case, without spaces, `_`, `-`) -> field
    fields: Mapping[str, Field]  # the format's own fields, likewise
    span: Span
    id: str = ""  # what it is recognised by, wherever it moves and whatever it is called


@dataclass(frozen=True, slots=True)
class Workflow:
    """A parsed document."""

    name: str  # a slug of the title: the platform's name unless `--name` is given
    title: str
    file: str
    steps: tuple[Step, ...]
    edges: tuple[Edge, ...]
    overview: str = ""
    complexity: Text | None = None
    duration: Text | None = None
    outcomes: tuple[Text, ...] = ()
    patterns: tuple[Text, ...] = ()
    span: Span = field(default=Span("", 1))
