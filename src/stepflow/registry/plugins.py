"""The installed playbooks: entry points of the group `stepflow.playbooks`, each loaded on demand.

A plugin that cannot be loaded breaks only itself: the others work, and loading it reports what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import chain

from stepflow.blame import GROUPS, OUTSIDE, words
from stepflow.errors import MachineError, StepflowError, UsageError
from stepflow.handoff import Handoff
from stepflow.playbook import Feature, Playbook, Settings, Takes
from stepflow.workflow import excerpt

GROUP = GROUPS["playbook"]
PREFIX = "playbook-"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One line of `stepflow playbooks`: a name, its package, and the playbook or why it cannot be loaded."""

    name: str
    package: str  # the distribution that provides it
    playbook: Playbook | None
    error: str = ""


@dataclass(frozen=True)
class Registry:
    """The playbooks that entry points offer."""

    entries: tuple[EntryPoint, ...]

    def names(self) -> tuple[str, ...]:
        """List the names, loading nothing."""
        return tuple(sorted({entry.name for entry in self.entries}))

    def name_of(self, name: str) -> str:
        """Return the installed name that is meant: a leading `playbook-` is accepted, and case makes no difference."""
        names = self.names()
        for wanted in (name, name.lower(), name.lower().removeprefix(PREFIX)):
            if wanted in names:
                return wanted
        raise UsageError(f"no playbook `{excerpt(name)}` is installed", hint=self._suggestion(name))

    def load(self, name: str) -> Playbook:
        """Load a playbook.

        Raises `UsageError` for an unknown name, `MachineError` for a plugin that cannot be loaded and for a name that
        two packages provide.
        """
        found = self.name_of(name)
        offers = [*{entry for entry in self.entries if entry.name == found}]
        if len(offers) > 1:
            packages = " and ".join(f"`{_package(entry)}` ({entry.value})" for entry in sorted(offers, key=_package))
            raise MachineError(
                f"two packages provide a playbook `{found}`: {packages}", hint="uninstall or rename one of them"
            )
        return _load(offers[0])

    def plugins(self) -> tuple[Plugin, ...]:
        """Load all playbooks; a broken one is listed with its error."""
        return tuple(self._plugin(name) for name in self.names())

    def _plugin(self, name: str) -> Plugin:
        packages = ", ".join(sorted({_package(entry) for entry in self.entries if entry.name == name}))
        try:
            return Plugin(name, packages, self.load(name))
        except StepflowError as error:
            return Plugin(name, packages, None, error.message)

    def _suggestion(self, name: str) -> str:
        close = get_close_matches(name.lower().removeprefix(PREFIX), self.names(), n=1)
        if close:
            return f"did you mean `{close[0]}`?"
        listed = ", ".join(f"`{known}`" for known in self.names())
        return f"installed: {listed}" if listed else "no playbook is installed at all"


@cache
def installed() -> Registry:
    """Find the playbooks of this environment."""
    return Registry(tuple(entry_points(group=GROUP)))


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


@cache
def _load(entry: EntryPoint) -> Playbook:
    try:
        made = entry.load()()
    except OUTSIDE:
        raise
    except BaseException as error:
        raise MachineError(
            f"the playbook `{entry.name}` of `{_package(entry)}` cannot be loaded: {words(error)}",
            hint=f"fix `{entry.value}`, or uninstall `{_package(entry)}`",
        ) from error
    if not isinstance(made, Playbook):
        raise MachineError(
            f"the playbook `{entry.name}` of `{_package(entry)}` is a `{type(made).__name__}`, not a `Playbook`",
            hint=f"make `{entry.value}` a subclass of `stepflow.playbook.Playbook`",
        )
    if getattr(made, "name", None) != entry.name:
        raise MachineError(
            f"the playbook `{entry.name}` of `{_package(entry)}` calls itself `{getattr(made, 'name', '')}`",
            hint=f"set `name = {entry.name!r}` in `{entry.value}`",
        )
    if wrong := _wrong(made):
        raise MachineError(
            f"`{wrong}` of the playbook `{entry.name}` of `{_package(entry)}` is not what a `Playbook` has there",
            hint=f"fix `{wrong}` in `{entry.value}`",
        )
    return made


def _wrong(made: Playbook) -> str:
    """Return the name of an attribute that is of another type than the contract says; "" when all are right."""
    several = (("takes", Takes), ("features", Feature))
    classes = (("settings", Settings), ("gives", Handoff))
    texts = (name for name in ("version", "summary") if not isinstance(getattr(made, name, None), str))
    tuples = (
        name
        for name, kind in several
        if not isinstance(value := getattr(made, name), tuple) or not all(isinstance(each, kind) for each in value)
    )
    models = (
        name
        for name, kind in classes
        if not isinstance(value := getattr(made, name), type) or not issubclass(value, kind)
    )
    return next(chain(texts, tuples, models), "")
