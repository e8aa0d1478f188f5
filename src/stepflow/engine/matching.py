"""Matches the steps of a document with the recorded ones, as a diff does. Pure; n log n in the number of steps.

In this order, each with what is still left:

1. the same `- Id:`;
2. the same playbook and title, where one step on each side has them, or one with the same content;
3. the same content under another title (renamed), where one step on each side has it;
4. where an earlier version recorded no content: several of the same playbook and title as in 5, otherwise the same
   number, playbook and title;
5. several of the same playbook and title, or content: those that stand in the same gap between two steps that are
   recognised already and kept their order, one after the other, if the gap has as many of them as it had;
6. the same playbook and title as a step that was removed before the last run, where it has a title and no id.

Two steps with different ids are never the same. Those that cannot be told apart are matched with nothing, so that they
are done again: a step that was done twice is better than one that was taken for done.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

S = TypeVar("S", "Present", "Known")
_SHOWN = 3  # recorded steps that are named before "and N more"


@dataclass(frozen=True, slots=True)
class Present:
    """A step of the document."""

    number: int
    title: str
    playbook: str
    id: str = ""
    content: str = ""  # digest of what the document says of it, without its title and number


@dataclass(frozen=True, slots=True)
class Known:
    """A recorded step, as the last document that had it says."""

    key: int
    number: int
    title: str
    playbook: str
    id: str = ""
    content: str = ""  # "" where it was not recorded yet: then it equals nothing
    stood: bool = True  # whether the document of the last run had it


@dataclass(frozen=True, slots=True)
class Match:
    """What a step of the document was before."""

    present: Present
    known: Known | None = None
    unsure: tuple[int, ...] = ()  # numbers of the recorded steps that it cannot be told apart from

    @property
    def note(self) -> str:
        """What a plan says of it; "" for a step that is what and where it was."""
        if self.unsure:
            more = len(self.unsure) - _SHOWN
            were = " and ".join(
                [*(f"step {number}" for number in self.unsure[:_SHOWN]), *([f"{more} more"] if more > 0 else [])]
            )
            return f"cannot be told apart from what was {were}; an `- Id:` in each step tells them apart"
        if self.known is None:
            return ""
        moved = f"step {self.known.number}" if self.known.number != self.present.number else ""
        renamed = f"called `{self.known.title}`" if self.known.title != self.present.title else ""
        return f"was {', '.join(filter(None, (moved, renamed)))}" if moved or renamed else ""


def match(present: Sequence[Present], known: Sequence[Known]) -> Mapping[int, Match]:
    """Return for each step of a document, by its number, which recorded step it is. Each of these is matched once."""
    search = _Search(sorted(present, key=_number), sorted(known, key=_number))
    search.pair(_id)
    search.pair(_id, stood=False)
    search.pair(_name)
    search.pair(_name_and_content)
    search.pair(_content)
    search.align(_name, lambda each: None if each.content else _name(each))
    search.pair(_place, lambda each: None if each.content else _place(each))
    search.align(_name_and_content)
    search.align(_name, last=True)
    search.align(_content, last=True)
    search.pair(lambda each: _name(each) if each.title and not each.id else None, _name, stood=False)
    found, unsure = search.found, search.unsure
    return {each.number: Match(each, found.get(each.number), unsure.get(each.number, ())) for each in present}


AnyStep = Present | Known
Key = Callable[[AnyStep], Hashable]  # None: such a step is left out


class _Search:
    """What is matched so far."""

    def __init__(self, present: Sequence[Present], known: Sequence[Known]) -> None:
        self.present, self.known = present, known
        self.found: dict[int, Known] = {}
        self.unsure: dict[int, tuple[int, ...]] = {}
        self._taken: set[int] = set()

    def pair(self, key: Key, other: Key | None = None, *, stood: bool = True) -> None:
        """Match steps whose key one step on each side has; `other` gives it of the recorded ones."""
        before = self._grouped(self._left(stood=stood), other or key)
        for group, (first, *more) in self._grouped(self._open(), key).items():
            candidates = before.get(group, [])
            if not more and len(candidates) == 1:
                self._take(first, candidates[0])

    def align(self, key: Key, other: Key | None = None, *, last: bool = False) -> None:
        """Match steps with the same key in order, gap by gap, where there are as many as before; `other` as in `pair`.

        Where there are not, and no other key can tell them apart (`last`), they stay unsure.
        """
        anchors = self._anchors()
        ours, theirs = [now for now, _ in anchors], [before for _, before in anchors]
        their_key = other or key
        before = self._grouped(self._left(), lambda each: _gap(their_key(each), bisect_left(theirs, each.number)))
        now = self._grouped(self._open(), lambda each: _gap(key(each), bisect_left(ours, each.number)))
        for group, steps in now.items():
            candidates = before.get(group, [])
            if len(steps) == len(candidates):
                for step, candidate in zip(steps, candidates, strict=True):
                    self._take(step, candidate)
            elif candidates and last:
                numbers = tuple(each.number for each in candidates)
                self.unsure |= dict.fromkeys((step.number for step in steps), numbers)
                self._taken |= {each.key for each in candidates}

    def _open(self) -> Iterable[Present]:
        return (each for each in self.present if each.number not in self.found and each.number not in self.unsure)

    def _left(self, *, stood: bool = True) -> Iterable[Known]:
        return (each for each in self.known if each.stood == stood and each.key not in self._taken)

    @staticmethod
    def _grouped(steps: Iterable[S], key: Key) -> Mapping[Hashable, list[S]]:
        groups: dict[Hashable, list[S]] = defaultdict(list)
        for each in steps:
            if (group := key(each)) is not None:
                groups[group].append(each)
        return groups

    def _take(self, step: Present, candidate: Known) -> None:
        if not (step.id and candidate.id) or step.id == candidate.id:
            self.found[step.number] = candidate
            self._taken.add(candidate.key)

    def _anchors(self) -> list[tuple[int, int]]:
        """Return the longest list of matched numbers, now and before, that grow together (by patience sorting)."""
        pairs = [(each.number, self.found[each.number].number) for each in self.present if each.number in self.found]
        tops: list[int] = []
        ends: list[int] = []  # index of the pair on top of each pile
        under: list[int | None] = []  # index of the pair that comes before each
        for index, (_, before) in enumerate(pairs):
            pile = bisect_left(tops, before)
            under.append(ends[pile - 1] if pile else None)
            tops[pile : pile + 1], ends[pile : pile + 1] = [before], [index]
        chain: list[tuple[int, int]] = []
        at = ends[-1] if ends else None
        while at is not None:
            chain.append(pairs[at])
            at = under[at]
        return chain[::-1]


def _number(each: AnyStep) -> int:
    return each.number


def _id(each: AnyStep) -> Hashable:
    return each.id or None


def _name(each: AnyStep) -> Hashable:
    return each.playbook, each.title


def _place(each: AnyStep) -> Hashable:
    return each.playbook, each.title, each.number


def _name_and_content(each: AnyStep) -> Hashable:
    return (each.playbook, each.title, each.content) if each.content else None


def _content(each: AnyStep) -> Hashable:
    return (each.playbook, each.content) if each.content else None


def _gap(group: Hashable, place: int) -> Hashable:
    return None if group is None else (group, place)
