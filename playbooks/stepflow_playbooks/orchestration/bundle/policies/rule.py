"""A rule: its names at its sources, what it asks for, what to do about it, and the function that finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .sight import Object, Pod, Sight

Finder = Callable[[Sight], Iterable[tuple[Object, str]]]
"""Gives the objects that break a rule, each with what is wrong with it in a few words."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; where several sources ask for the same it has several names, as `source/name`."""

    names: tuple[str, ...]
    asks: str
    remedy: str
    finder: Finder
    decided_by: str = ""
    """What of the user's decides; a finding is then a choice, and told instead of refused."""


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
    """Register a function that looks at all objects at once."""

    def register(finder: Finder) -> Finder:
        RULES.append(Rule(names, asks, remedy, finder, decided_by))
        return finder

    return register


def of_kind(kind: str, *names: str, asks: str, remedy: str) -> Callable[[Callable[[Object], str]], Finder]:
    """Register a function that looks at one object of a kind, and says what is wrong with it or nothing."""

    def register(judge: Callable[[Object], str]) -> Finder:
        def finder(sight: Sight) -> Iterator[tuple[Object, str]]:
            for item in sight.of(kind):
                if says := judge(item):
                    yield item, says

        return rule(*names, asks=asks, remedy=remedy)(finder)

    return register


def of_pods(*names: str, asks: str, remedy: str) -> Callable[[Callable[[Pod], str]], Finder]:
    """Register a function that looks at one pod template, and says what is wrong with it or nothing."""

    def register(judge: Callable[[Pod], str]) -> Finder:
        def finder(sight: Sight) -> Iterator[tuple[Object, str]]:
            for pod in sight.pods:
                if says := judge(pod):
                    yield pod.owner, says

        return rule(*names, asks=asks, remedy=remedy)(finder)

    return register


def of_containers(
    *names: str, asks: str, remedy: str, initial: bool = True
) -> Callable[[Callable[[Pod, Object], str]], Finder]:
    """Register a function that looks at one container; `initial` says whether init containers are looked at, too."""

    def register(judge: Callable[[Pod, Object], str]) -> Finder:
        def finder(sight: Sight) -> Iterator[tuple[Object, str]]:
            for pod in sight.pods:
                for container in pod.containers if initial else pod.lasting:
                    if says := judge(pod, container):
                        yield pod.owner, f"container `{container['name']}` {says}"

        return rule(*names, asks=asks, remedy=remedy)(finder)

    return register
