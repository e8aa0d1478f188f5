"""The actions that turn the observed state into the desired one: each has a cause and is one line of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["ADDING", "Action", "Verb", "summed"]

Verb = Literal[
    "keep", "wait", "pull", "build", "load", "create", "start", "restart", "change", "scale", "replace", "remove"
]
"""`load`: an image, into the nodes of a cluster.

`wait`: it runs and is not ready yet. `change`: in place, without a restart that the platform would notice.
"""

ADDING: frozenset[Verb] = frozenset({"keep", "wait", "create", "start", "restart", "change", "scale"})
"""Verbs that take nothing away: done first, and all at once."""

_NAMED = 3  # differences


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, to one copy, server or object.

    Executing it decides nothing: what only turns out on the way is a `when` (`replace if another image`) or a `then`
    (`change …, roll back if it does not become ready`), which is printed and is checked by what was printed.
    """

    verb: Verb
    name: str  # `hello-1`, `nats`, `NetworkPolicy/hello`
    cause: str
    owner: str  # the workload or server that it belongs to
    when: str = ""  # the condition, in words, where it depends on one
    old: str = ""  # another copy, whose place it takes
    then: str = ""  # what executing it does besides, in words: a part that has a condition, or always follows
    subject: Any = field(default=None, compare=False, repr=False)  # what the target needs to execute it

    def __str__(self) -> str:
        """Format one line of a plan."""
        what = f"{self.old} with {self.name}" if self.old else self.name
        then = f", {self.then}" if self.then else ""
        return f"{self.verb:<8} {what}{f' if {self.when}' if self.when else ''}{then}: {self.cause}"

    @property
    def reason(self) -> str:
        """The action as a reason for which a finished step runs again: it names what there is, not what comes."""
        return f"{self.verb} `{self.old or self.name}`{f' if {self.when}' if self.when else ''}: {self.cause}"


def summed(differences: Sequence[str]) -> str:
    """Format how a thing differs from what it should be: the first three differences, and the number of others."""
    more = len(differences) - _NAMED
    return "; ".join(differences[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
