"""A rule: its upstream names, what it requires, the remedy, and the function that finds violations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .snapshot import Object, Pod, Snapshot

Finder = Callable[[Snapshot], Iterable[tuple[Object, str]]]
"""Returns the objects that break a rule, each with what is wrong with it in a few words."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; one that several sources share has several names, as `source/name`."""

    names: tuple[str, ...]
    asks: str
    remedy: str
    finder: Finder
    decided_by: str = ""
    """The user's setting that decides whether the rule is broken, if there is one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One object that breaks one rule."""

    rule: Rule
    subject: str  # kind and name
    says: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.says} ({self.rule.names[0]}: {self.rule.remedy})"


RULES: list[Rule] = []
"""Every rule, in the order of the modules; each registers its own."""


def rule(*names: str, asks: str, remedy: str, decided_by: str = "") -> Callable[[Finder], Finder]:
    """Register a function that inspects all objects."""

    def register(finder: Finder) -> Finder:
        RULES.append(Rule(names, asks, remedy, finder, decided_by))
        return finder

    return register


def of_kind(kind: str, *names: str, asks: str, remedy: str) -> Callable[[Callable[[Object], str]], Finder]:
    """Register a function that returns what is wrong with one object of a kind, or ""."""

    def register(judge: Callable[[Object], str]) -> Finder:
        def finder(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
            for item in snapshot.of(kind):
                if says := judge(item):
                    yield item, says

        return rule(*names, asks=asks, remedy=remedy)(finder)

    return register


def of_pods(*names: str, asks: str, remedy: str) -> Callable[[Callable[[Pod], str]], Finder]:
    """Register a function that returns what is wrong with one pod template, or ""."""

    def register(judge: Callable[[Pod], str]) -> Finder:
        def finder(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
            for pod in snapshot.pods:
                if says := judge(pod):
                    yield pod.owner, says

        return rule(*names, asks=asks, remedy=remedy)(finder)

    return register


def of_containers(
    *names: str, asks: str, remedy: str, initial: bool = True
) -> Callable[[Callable[[Pod, Object], str]], Finder]:
    """Register a function that returns what is wrong with one container, or ""; `initial` includes init containers."""

    def register(judge: Callable[[Pod, Object], str]) -> Finder:
        def finder(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
            for pod in snapshot.pods:
                for container in pod.containers if initial else pod.lasting:
                    if says := judge(pod, container):
                        yield pod.owner, f"container `{container['name']}` {says}"

        return rule(*names, asks=asks, remedy=remedy)(finder)

    return register
