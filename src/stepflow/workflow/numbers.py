"""The numbers of a workflow's steps: which of them a text names, which there are not, which is meant instead."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from stepflow.workflow.references import Named

_SHOWN = 12  # numbers in a hint


@dataclass(frozen=True)
class StepNumbers:
    """The numbers of a workflow's steps, each higher than the one before."""

    all: tuple[int, ...]

    @cached_property
    def places(self) -> Mapping[int, int]:
        """Each number, and how many steps come before it."""
        return {number: at for at, number in enumerate(self.all)}

    @cached_property
    def spelled(self) -> str:
        """A sentence for a hint: which steps there are."""
        if len(self.all) == 1:
            return f"the only step is {self.all[0]}"
        if self.all[-1] - self.all[0] == len(self.all) - 1:
            return f"the steps are {self.all[0]} to {self.all[-1]}"
        shown = ", ".join(map(str, self.all[:_SHOWN]))
        return f"the steps are {shown}" + (", ..." if len(self.all) > _SHOWN else "")

    def count(self, named: Iterable[Named]) -> int:
        """Count what `within` finds, without looking at each."""
        return sum(end - start for start, end in map(self._between, named))

    def within(self, named: Iterable[Named]) -> Iterator[tuple[int, Named]]:
        """Find the steps that are named; of a range those that there are."""
        for each in named:
            for at in range(*self._between(each)):
                yield self.all[at], each

    def _between(self, named: Named) -> tuple[int, int]:
        low, high = sorted((named.first, named.last))
        return bisect_left(self.all, low), bisect_right(self.all, high)

    def missing(self, named: Iterable[Named]) -> list[int]:
        """Return the numbers that are written and that no step has."""
        written = dict.fromkeys(number for each in named for number in (each.first, each.last))
        return [number for number in written if number not in self.places]

    def nearest(self, number: int, without: Collection[int], below: int | None = None) -> int | None:
        """Return the number that is nearest, other than some; below one, where that is given."""
        end = len(self.all) if below is None else bisect_left(self.all, below)
        at = min(bisect_left(self.all, number), end)
        lower = (self.all[index] for index in range(at - 1, -1, -1))
        higher = (self.all[index] for index in range(at, end))
        near = [next((each for each in some if each not in without), None) for some in (lower, higher)]
        return min((each for each in near if each is not None), key=lambda each: abs(each - number), default=None)
