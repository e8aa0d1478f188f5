"""The saga of an order as a state machine: which step is next, and what has to be undone when one fails.

    reserve-stock → authorise-payment → confirm → done
         │                 │
         ▼                 ▼           refused, given up, or cancelled: undone in reverse
    cancel ◄─ release-stock ◄─ void-payment

`Saga` is a value, `advance` a pure function; `storage.sagas` stores it in PostgreSQL, `fulfilment` executes the
steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Step(StrEnum):
    """The next step."""

    RESERVE_STOCK = "reserve-stock"
    AUTHORISE_PAYMENT = "authorise-payment"
    CONFIRM = "confirm"
    VOID_PAYMENT = "void-payment"
    RELEASE_STOCK = "release-stock"
    CANCEL = "cancel"
    DONE = "done"


FORWARD = (Step.RESERVE_STOCK, Step.AUTHORISE_PAYMENT, Step.CONFIRM)
UNDO = {Step.RESERVE_STOCK: Step.RELEASE_STOCK, Step.AUTHORISE_PAYMENT: Step.VOID_PAYMENT}


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The step is done."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A definite no: the step had no effect."""

    reason: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """No answer in time: the step may have had its effect, so it is undone too."""

    reason: str


Outcome = Succeeded | Refused | GaveUp


@dataclass(frozen=True, slots=True)
class Saga:
    """Where the saga of one order stands. `to_undo`: the finished steps that a failure would undo, oldest first."""

    order_id: str
    step: Step = Step.RESERVE_STOCK
    to_undo: tuple[Step, ...] = ()
    cancel_reason: str | None = None  # once set, the saga compensates

    @property
    def going_back(self) -> bool:
        """Return whether it is compensating."""
        return self.step not in FORWARD and self.step is not Step.DONE

    def begin(self) -> Saga:
        """Turn back before a forward step is (re)started, where a cancellation has arrived.

        An earlier start of the step may have been cut off after its effect, so it counts as possibly done.
        """
        if self.cancel_reason is None or self.step not in FORWARD:
            return self
        return _undo_youngest(replace(self, to_undo=(*self.to_undo, self.step)))

    def advance(self, outcome: Outcome) -> Saga:
        """Return the saga after its current step had this outcome; raises `ValueError` for a finished one."""
        if self.step is Step.DONE:
            raise ValueError(f"the saga of order {self.order_id} is done")
        if self.going_back:
            return _undo_youngest(self)
        done = replace(self, to_undo=(*self.to_undo, self.step))
        if isinstance(outcome, Refused):
            return _undo_youngest(replace(self, cancel_reason=self.cancel_reason or outcome.reason))
        if isinstance(outcome, GaveUp):
            return _undo_youngest(replace(done, cancel_reason=self.cancel_reason or outcome.reason))
        if self.step is Step.CONFIRM:
            return replace(done, step=Step.DONE)
        if self.cancel_reason is not None:
            return _undo_youngest(done)
        return replace(done, step=FORWARD[FORWARD.index(self.step) + 1])

    def request_cancellation(self, reason: str) -> Saga:
        """Note the request to cancel. A finished saga turns back at once; a running one when its current step
        returns.
        """
        wished = replace(self, cancel_reason=self.cancel_reason or reason)
        return _undo_youngest(wished) if self.step is Step.DONE else wished


def _undo_youngest(saga: Saga) -> Saga:
    """Turn to undoing the latest step that has an undo; to cancelling when none is left; done after that."""
    if saga.step is Step.CANCEL:
        return replace(saga, step=Step.DONE)
    remaining = tuple(step for step in saga.to_undo if step in UNDO)
    if not remaining:
        return replace(saga, step=Step.CANCEL, to_undo=())
    return replace(saga, step=UNDO[remaining[-1]], to_undo=remaining[:-1])
