"""One change for each rule that makes good objects break exactly it, and those that ask for the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policy_base import Object


class Changed:
    """Good objects, about to be changed in one place."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def one(self, kind: str, name: str = "web") -> Object:
        (found,) = (i for i in self.objects if i["kind"] == kind and i["metadata"]["name"] == name)
        return found

    def spec(self, kind: str, name: str = "web") -> Object:
        found: Object = self.one(kind, name)["spec"]
        return found

    def template(self, kind: str = "Deployment", name: str = "web") -> Object:
        found: Object = self.spec(kind, name)["template"]
        return found

    @property
    def pod(self) -> Object:
        found: Object = self.template()["spec"]
        return found

    @property
    def container(self) -> Object:
        found: Object = self.pod["containers"][0]
        return found

    @property
    def context(self) -> Object:
        found: Object = self.container["securityContext"]
        return found

    def remove(self, kind: str, name: str = "web") -> None:
        self.objects.remove(self.one(kind, name))


Change = Callable[[Changed], Any]


@dataclass(frozen=True)
class Case:
    """A change, and the names of all rules that find it."""

    breaks: frozenset[str]
    change: Change


CASES: list[Case] = []


def case(change: Change, *names: str) -> None:
    """Note that a change breaks the rules of these names, and no other."""
    CASES.append(Case(frozenset(names), change))


def put(where: Callable[[Changed], Object], **fields: Any) -> Change:  # noqa: ANN401 - any field
    return lambda to: where(to).update(fields)


def drop(where: Callable[[Changed], Object], field: str) -> Change:
    return lambda to: where(to).pop(field)


def pod(to: Changed) -> Object:
    return to.pod


def container(to: Changed) -> Object:
    return to.container


def context(to: Changed) -> Object:
    return to.context


def spec(kind: str, name: str = "web") -> Callable[[Changed], Object]:
    return lambda to: to.spec(kind, name)
