"""The plugin contract: what a playbook takes and gives, renders, declares, and how it is checked.

A playbook is registered under the entry-point group `stepflow.playbooks`. All four methods are pure: they get a frozen
`StepInput` and return plain data; `stepflow.testing.PlaybookContract` tests that.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, ClassVar, Generic, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypeVar

from stepflow.handoff import Handoff
from stepflow.workload import CheckContext, Declaration

__all__ = [
    "Check",
    "CommandSettings",
    "Evidence",
    "Feature",
    "Incidental",
    "Playbook",
    "Settings",
    "StepInput",
    "Takes",
]


class Settings(BaseModel):
    """The base of a playbook's typed inputs: the fields of a step that the format does not know itself.

    Each has a default and a description, in `Field` or as a docstring under it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CommandSettings(Settings):
    """Settings of a playbook that runs commands: what they read, make and take from outside."""

    inputs: tuple[str, ...] = Field(
        (), description="files that it reads: paths, folders or globs in the working directory: `src/**/*.c, Makefile`"
    )
    creates: tuple[str, ...] = Field(
        (), description="files or folders that it makes, relative to the working directory: `dist/app, report-*.txt`"
    )
    gives: tuple[str, ...] = Field(
        (), description="names of the values that it writes to `$STEPFLOW_HANDOFF`: `version, token (secret)`"
    )
    env: tuple[str, ...] = Field(
        (), description="names of the environment variables that it reads, which may stand in `.env`: `CI, REGION`"
    )
    secrets: tuple[str, ...] = Field(
        (), description="the same for secrets, which are masked wherever something is shown: `REGISTRY_TOKEN`"
    )

    @field_validator("inputs", "creates")
    @classmethod
    def _stay_inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            parts = PurePosixPath(path)
            if parts.is_absolute() or ".." in parts.parts or not path.strip():
                raise ValueError(f"`{path}` is not below the working directory")
        return paths

    @field_validator("gives")
    @classmethod
    def _are_values(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _VALUE.fullmatch(name):
                raise ValueError(f"`{name}` is not the name of a value; write `version` or `token (secret)`")
        return names

    @property
    def given(self) -> tuple[str, ...]:
        """The names of all values in `gives`."""
        return tuple(name.partition(" ")[0] for name in self.gives)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The names of those that are secrets."""
        return tuple(name.partition(" ")[0] for name in self.gives if " " in name)

    @field_validator("env", "secrets")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"`{name}` is not the name of an environment variable")
        return names


class Incidental:
    """Marks a setting that changes only how a step is carried out: another value does not run it again.

    `timeout: Annotated[float, Incidental] = 60.0`
    """


_VALUE = re.compile(r"[^\W\d][\w-]*(?: \(secret\))?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
S = TypeVar("S", bound=Settings, default=Any)


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a prompt can name; `always` when it is on even if the prompt does not name it."""

    name: str
    words: tuple[str, ...]  # matched without case at word boundaries; "e-mail" also matches "email"
    summary: str
    always: bool = False


@dataclass(frozen=True, slots=True)
class Takes:
    """A handoff that a playbook takes: from the steps that its step relies on, or (`collects`) every earlier one."""

    handoff: type[Handoff]
    required: bool = False
    collects: bool = False


@dataclass(frozen=True, slots=True)
class StepInput(Generic[S]):
    """Everything that a playbook knows about its step; `S` is the type of its settings."""

    number: int
    title: str
    prompt: str
    delivers: str  # the document's `Handoff` text
    platform: str  # the name of the platform
    target: str
    settings: S
    features: frozenset[str]
    handoffs: Mapping[int, Handoff] = field(default_factory=dict)  # by step number: what it takes
    declarations: Mapping[int, Declaration] = field(default_factory=dict)  # of the collected steps
    containers: bool = False  # the target runs each copy in a container of its own image
    shared: bool = False  # others reach the target too: what is only for trying out is off by default


Evidence = str


@dataclass(frozen=True, slots=True)
class Check:
    """A question to the running platform. `run` returns the evidence in one line.

    It raises `TemporaryError` (retried until `timeout` seconds are over) or `PermanentError`; network errors count as
    temporary. `when="step"`: a fast postcondition of the step, checked before it is handed off and again before it is
    reused. `when="run"`: a journey through the whole platform, made when the run ends and by `stepflow verify`.
    """

    name: str
    run: Callable[[CheckContext], Awaitable[Evidence]]
    proves: tuple[str, ...] = ()  # phrases of expected outcomes it answers, matched without case by their words
    when: Literal["step", "run"] = "step"
    timeout: float | None = 20.0
    """Seconds. With None it is asked once, for as long as that takes: work of the processor, which may be busy."""
    needs: tuple[str, ...] = ()
    """Workloads it passes through. Where no step declares one of them it is skipped, and the outcome says why."""
    of_files: bool = False
    """It reads nothing but the files that its step renders: reused without being asked while these are unchanged."""
    chaos: bool = False
    """It kills replicas: only `stepflow verify --chaos` asks it, elsewhere the outcome says that it was left out."""


class Playbook(ABC, Generic[S]):
    """A plugin. One with settings of its own is a `Playbook[ItsSettings]`, and gets `StepInput[ItsSettings]`."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    summary: ClassVar[str]
    settings: type[S] = Settings  # type: ignore[assignment]  # what `S` is where a plugin names none
    gives: ClassVar[type[Handoff]] = Handoff
    takes: ClassVar[tuple[Takes, ...]] = ()
    features: ClassVar[tuple[Feature, ...]] = ()
    executes_prompt: ClassVar[bool] = False  # the prompt is a command: `stepflow check` says so

    @abstractmethod
    def declare(self, step: StepInput[S]) -> Declaration:
        """Declare what must exist."""

    def render(self, step: StepInput[S]) -> Mapping[str, bytes]:
        """Return the source tree: relative POSIX path to content. Nothing by default."""
        del step
        return {}

    def handoff(self, step: StepInput[S]) -> Handoff:
        """Return what is passed on. A step with a job adds what the job wrote."""
        return self.gives(delivers=step.delivers)

    def checks(self, step: StepInput[S]) -> Collection[Check]:
        """Return the checks that verify it. That its workloads are ready is checked anyway."""
        del step
        return ()
