"""The saga goes forward, or back in reverse; never both, and it always ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.saga import FORWARD, UNDO, GaveUp, Outcome, Refused, Saga, Step, Succeeded

OUTCOMES = st.sampled_from([Succeeded(), Refused("declined"), GaveUp("timeout")])


def path(saga: Saga, *outcomes: Outcome) -> list[Step]:
    """The steps that are taken when these are the outcomes, and every later step succeeds."""
    taken: list[Step] = []
    remaining = list(outcomes)
    while saga.step is not Step.DONE:
        taken.append(saga.step)
        saga = saga.begin().advance(remaining.pop(0) if remaining else Succeeded())
    return taken


def test_everything_well_goes_straight_to_confirm() -> None:
    assert path(Saga("o-1")) == [Step.RESERVE_STOCK, Step.AUTHORISE_PAYMENT, Step.CONFIRM]


def test_no_stock_leaves_nothing_to_undo() -> None:
    assert path(Saga("o-1"), Refused("out of stock")) == [Step.RESERVE_STOCK, Step.CANCEL]


def test_declined_payment_gives_the_stock_back_and_has_nothing_to_void() -> None:
    taken = path(Saga("o-1"), Succeeded(), Refused("declined"))
    assert taken == [Step.RESERVE_STOCK, Step.AUTHORISE_PAYMENT, Step.RELEASE_STOCK, Step.CANCEL]


def test_payment_without_an_answer_is_voided_in_case_it_was_taken() -> None:
    taken = path(Saga("o-1"), Succeeded(), GaveUp("timeout"))
    undone = [Step.VOID_PAYMENT, Step.RELEASE_STOCK, Step.CANCEL]
    assert taken == [Step.RESERVE_STOCK, Step.AUTHORISE_PAYMENT, *undone]


def test_cancelling_a_finished_order_undoes_everything_in_reverse() -> None:
    saga = Saga("o-1")
    while saga.step is not Step.DONE:
        saga = saga.advance(Succeeded())
    cancelled = saga.request_cancellation("changed my mind")
    assert cancelled.cancel_reason == "changed my mind"
    assert path(cancelled) == [Step.VOID_PAYMENT, Step.RELEASE_STOCK, Step.CANCEL]


def test_cancelling_during_the_payment_waits_for_its_answer_and_then_voids_it() -> None:
    saga = Saga("o-1").advance(Succeeded()).request_cancellation("changed my mind")
    assert saga.step is Step.AUTHORISE_PAYMENT
    assert saga.advance(Succeeded()).step is Step.VOID_PAYMENT


def test_step_cut_off_by_a_crash_is_undone_when_a_cancellation_has_arrived() -> None:
    saga = Saga("o-1").advance(Succeeded()).request_cancellation("changed my mind")
    assert saga.begin().step is Step.VOID_PAYMENT


@given(st.lists(OUTCOMES, max_size=3), st.one_of(st.none(), st.integers(0, 3)))
def test_what_was_done_is_undone_in_reverse_and_the_saga_ends(outcomes: list[Outcome], cancel_at: int | None) -> None:
    saga = Saga("o-1")
    effects: list[Step] = []
    undone: list[Step] = []
    for number in range(20):
        if saga.step is Step.DONE:
            break
        if number == cancel_at:
            saga = saga.request_cancellation("changed my mind")
        saga = saga.begin()
        outcome = outcomes.pop(0) if outcomes and saga.step in FORWARD else Succeeded()
        if saga.step in FORWARD and not isinstance(outcome, Refused):
            effects.append(saga.step)
        elif saga.going_back:
            undone.append(saga.step)
        saga = saga.advance(outcome)
    assert saga.step is Step.DONE
    if undone:
        assert undone[-1] is Step.CANCEL
        owed = [UNDO[step] for step in reversed(effects) if step in UNDO]
        assert [step for step in undone if step in owed] == owed
    else:
        assert effects == list(FORWARD)


def test_finished_saga_takes_no_further_outcome() -> None:
    with pytest.raises(ValueError, match="the saga of order o-1 is done"):
        Saga("o-1", Step.DONE).advance(Succeeded())
