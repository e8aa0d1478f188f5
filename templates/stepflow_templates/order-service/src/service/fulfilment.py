"""Executes sagas: claims one that is due, does its step, writes the outcome and the next step in one transaction,
continues.

A step that only concerns this database happens in the same transaction that advances the saga: it is done once, or
not at all. The two steps that call the payment provider happen between two transactions: the first notes that the
provider is about to be called, the second its answer. Killed in between, the saga calls again, under the same
idempotency key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from datetime import UTC, datetime, timedelta

import asyncpg

from chassis.database import Database
from chassis.telemetry import span
from service.domain.order import Order
from service.domain.saga import GaveUp, Refused, Step, Succeeded
from service.local_steps import order_of, take_locally
from service.ordering import record
from service.provider import Answer, Captured, Declined, PaymentProvider, Unavailable, Voided
from service.storage import sagas
from service.storage.aggregates import retried
from service.storage.sagas import Claim, LeaseLost
from service.storage.signals import SAGAS, Signals

log = logging.getLogger(__name__)
BACK_OFF = (0.2, 2.0)  # seconds between attempts to reach the provider: first, longest
CLOCK_MARGIN = timedelta(seconds=1)  # how far the provider's clock may differ from ours
PUT_ASIDE = 60.0  # seconds, the longest between attempts at a saga that fails
POLL = 5.0  # seconds


class Fulfilment:
    """The worker. Any number of them, in any number of replicas, share the work."""

    def __init__(self, database: Database, provider: PaymentProvider, patience: timedelta) -> None:
        """Keep database and provider; `patience` is how long the provider may take for a payment, retries included."""
        self._database = database
        self._provider = provider
        self._patience = patience

    async def run(self, signals: Signals) -> None:
        """Work until cancelled."""
        with signals.on(SAGAS) as wake:
            while True:
                wake.clear()
                while await self.work():
                    pass
                async with self._database.acquire() as connection:
                    seconds = await sagas.seconds_until_due(connection)
                await wake.wait(POLL if seconds is None else min(POLL, seconds))

    async def work(self) -> bool:
        """Claim one saga and take its steps until it is done or has to wait; False if none is due."""
        async with self._database.acquire() as connection:
            claim = await sagas.claim(connection)
        if claim is None:
            return False
        order_id = claim.saga.order_id
        try:
            while claim and claim.saga.step is not Step.DONE:
                with span(f"saga {claim.saga.step}", parent=claim.traceparent):
                    claim = await self._take(claim)
        except LeaseLost as lost:
            log.warning("%s", lost)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database is away: the worker is restarted, and the lease runs out
        except Exception:
            log.exception("the saga of order %s failed and is retried later", order_id)
            await self._give_back(claim, longest=PUT_ASIDE)
        except asyncio.CancelledError:
            await self._give_back(claim, longest=0)
            raise
        return True

    async def _give_back(self, claim: Claim | None, longest: float) -> None:
        """Release the lease early: for another worker at once (0), or so that other sagas overtake a failing one."""
        if claim is None:
            return
        with contextlib.suppress(LeaseLost):
            async with self._database.transaction() as connection:
                held = await sagas.hold(connection, claim)
                delay = _back_off(held.attempts, longest)
                await sagas.postpone(connection, held, delay, may_be_charged=held.may_be_charged)

    async def _take(self, claim: Claim) -> Claim | None:
        """Take one step; return the claim on the next one, None where the saga has to wait."""
        if claim.saga.step is Step.AUTHORISE_PAYMENT:
            return await self._authorise(claim)
        if claim.saga.step is Step.VOID_PAYMENT:
            return await self._void(claim)
        return await retried(self._database, lambda connection: take_locally(connection, claim))

    async def _authorise(self, claim: Claim) -> Claim | None:
        async with self._database.transaction() as connection:
            held = await sagas.hold(connection, claim)
            if held.saga.begin().step is not Step.AUTHORISE_PAYMENT:
                return await sagas.proceed(connection, held, held.saga.begin())
            order = await order_of(connection, held)
            asking = await sagas.begin_payment(connection, held, self._patience)
        assert asking.pay_until is not None
        answer: Answer = Unavailable("the time for it was over", untouched=True)
        if datetime.now(UTC) < asking.pay_until:
            answer = await self._provider.authorise(
                order.id, order.total, asking.payment_token, asking.pay_until, test=order.test
            )
        return await self._settle(asking, answer, charged_before=held.may_be_charged)

    async def _settle(self, asking: Claim, answer: Answer, *, charged_before: bool) -> Claim | None:
        """Record the provider's answer: advance, retry later, or turn back."""
        may_be_charged = isinstance(answer, Unavailable) and (charged_before or not answer.untouched)
        async with self._database.transaction() as connection:
            held = await sagas.hold(connection, asking)
            order = await order_of(connection, held)
            if isinstance(answer, Captured):
                await record(connection, order.id, order, order.authorise_payment(answer.payment_id))
                return await sagas.proceed(connection, held, held.saga.advance(Succeeded()))
            if isinstance(answer, Declined):
                return await self._refuse(connection, held, order, Refused(f"payment declined: {answer.reason}"))
            delay = _back_off(held.attempts)
            assert held.pay_until is not None
            if held.saga.cancel_reason is None and datetime.now(UTC) + delay < held.pay_until:
                log.info("payment of order %s is retried: %s", order.id, answer.reason)
                await sagas.postpone(connection, held, delay, may_be_charged=may_be_charged)
                return None
            reason = "payment timed out: no answer from the payment provider"
            return await self._refuse(connection, held, order, GaveUp(reason) if may_be_charged else Refused(reason))

    async def _refuse(
        self, connection: asyncpg.Connection, held: Claim, order: Order, outcome: Refused | GaveUp
    ) -> Claim:
        await record(connection, order.id, order, order.decline_payment(outcome.reason))
        return await sagas.proceed(connection, held, held.saga.advance(outcome))

    async def _void(self, claim: Claim) -> Claim | None:
        """Refund what may have been taken. Where nothing is found, look again once nothing can arrive any more."""
        answer = await self._provider.void(claim.saga.order_id) if claim.may_be_charged else Voided(found=False)
        async with self._database.transaction() as connection:
            held = await sagas.hold(connection, claim)
            order = await order_of(connection, held)
            if isinstance(answer, Unavailable):
                log.info("payment of order %s cannot be voided yet: %s", order.id, answer.reason)
                await sagas.postpone(connection, held, _back_off(held.attempts), may_be_charged=True)
                return None
            possible_for = _still_possible_for(held)
            if not answer.found and order.payment_id is None and possible_for > timedelta():
                await sagas.postpone(connection, held, possible_for, may_be_charged=True)
                return None
            if voided := order.void_payment():
                await record(connection, order.id, order, voided)
            return await sagas.proceed(connection, held, held.saga.advance(Succeeded()))


def _still_possible_for(held: Claim) -> timedelta:
    """Return for how long a request that is still in flight could be carried out by the provider."""
    if not held.may_be_charged or held.pay_until is None:
        return timedelta()
    return held.pay_until + CLOCK_MARGIN - datetime.now(UTC)


def _back_off(attempts: int, longest: float = BACK_OFF[1]) -> timedelta:
    """Double the pause with each attempt, with jitter so that many orders do not come back at once."""
    pause = min(longest, BACK_OFF[0] * 2 ** min(attempts - 1, 20))
    return timedelta(seconds=pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
