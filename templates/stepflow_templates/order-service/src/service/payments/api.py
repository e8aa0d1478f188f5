"""The provider's HTTP API. Clients with the API key may take and void payments; administrators may switch faults on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Security
from fastapi.security import APIKeyHeader
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from chassis.auth import require_role
from chassis.database import Database
from chassis.metrics import counter
from chassis.problem import PROBLEMS, Problem, declared
from service.payments import storage
from service.payments.domain import NOT_PROCESSED, Fault, Payment, Status, fate

api_key = APIKeyHeader(name="X-Api-Key", scheme_name="apiKey", auto_error=False)
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]


class PaymentRequest(BaseModel):
    """A requested amount, in minor units, and the time after which it must not be taken."""

    model_config = ConfigDict(extra="forbid")

    order_id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    amount: int = Field(gt=0, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    token: str = Field(pattern=r"^tok_[a-z0-9_]{1,60}$")
    valid_until: AwareDatetime
    test: bool = Field(default=False, description="Test mode: no money moves, and the payment is forgotten.")


class PaymentAnswer(BaseModel):
    """A payment in its current state."""

    id: str
    order_id: str
    amount: int
    currency: str
    status: Status
    reason: str | None
    created_at: datetime


class Payments(BaseModel):
    """The payments of one order."""

    items: list[PaymentAnswer]
    next: str | None = None


class FaultSetting(BaseModel):
    """Which fault is on: `down` refuses all payments, `slow` delays good ones, `error` answers them with 500."""

    model_config = ConfigDict(extra="forbid")

    mode: Fault


def router(database: Database, key: SecretStr, slow_seconds: float) -> APIRouter:
    """Make the routes for taking and refunding money."""

    async def check_key(sent: Annotated[str | None, Security(api_key)]) -> None:
        if not hmac.compare_digest((sent or "").encode(), key.get_secret_value().encode()):
            raise Problem(401, detail="Send the API key as `X-Api-Key`.", headers={"WWW-Authenticate": "ApiKey"})

    routes = APIRouter(dependencies=[Depends(check_key)], responses={k: PROBLEMS[k] for k in (401, 422)})

    @routes.post("/payments", status_code=201, responses=_responses(400, 424, 500, 503))
    async def pay(asked: PaymentRequest, idempotency_key: Key) -> PaymentAnswer:
        """Take money. The same key and body yield the same payment, however often they arrive."""
        mode = await storage.fault(database)
        if mode == "down":
            raise Problem(503, "The provider is down", type=NOT_PROCESSED, headers={"Retry-After": "1"})
        payment = await _open(database, asked, idempotency_key)
        if payment.status == "pending":
            payment = await _settle(database, payment, asked.token, mode, slow_seconds)
        return _answer(payment)

    @routes.post("/payments/{payment_id}/void", responses=_responses(404))
    async def void(payment_id: str) -> PaymentAnswer:
        """Refund a payment; doing so again changes nothing. A declined payment stays declined."""
        payment = await storage.void(database, payment_id)
        if payment is None:
            raise Problem(404, detail=f"There is no payment `{payment_id}`.")
        return _answer(payment)

    @routes.get("/payments")
    async def of_order(order_id: Annotated[str, Query(min_length=1, max_length=64)]) -> Payments:
        """List the payments of an order."""
        return Payments(items=[_answer(payment) for payment in await storage.of_order(database, order_id)])

    return routes


def faults_router(database: Database) -> APIRouter:
    """Make the routes that switch faults, for administrators and in development only."""
    admin = Depends(require_role("admin"))
    routes = APIRouter(dependencies=[admin], responses={k: PROBLEMS[k] for k in (401, 403, 422)})

    @routes.get("/faults")
    async def read() -> FaultSetting:
        """Return which fault is on."""
        return FaultSetting(mode=await storage.fault(database))

    @routes.put("/faults", responses=_responses(400))
    async def switch(setting: FaultSetting) -> FaultSetting:
        """Switch a fault on, or with `none` all off."""
        await storage.switch_fault(database, setting.mode)
        return setting

    return routes


async def _open(database: Database, asked: PaymentRequest, key: str) -> Payment:
    fingerprint = hashlib.sha256(asked.model_dump_json(exclude={"test"}).encode()).hexdigest()
    body = (asked.order_id, asked.amount, asked.currency, asked.valid_until, asked.test)
    request = storage.Asked(key, fingerprint, *body)
    try:
        return await storage.open_payment(database, request)
    except storage.KeyReused as error:
        detail = "This `Idempotency-Key` belongs to a request with another body."
        raise Problem(422, "Idempotency key reused", detail=detail) from error


async def _settle(database: Database, payment: Payment, token: str, mode: Fault, slow_seconds: float) -> Payment:
    """Process the payment. A repetition of a slow one waits only for the rest of its time."""
    course = fate(token, mode)
    if course.slow:
        passed = (datetime.now(UTC) - payment.created_at).total_seconds()
        await asyncio.sleep(max(0.0, slow_seconds - passed))
    if mode == "error":
        raise Problem(500, "The provider failed", detail="Whether the money was taken is not known.")
    if course.error:
        raise Problem(424, "The bank failed", detail="Whether the money was taken is not known here.")
    settled = await storage.settle(database, payment.id, course)
    if not settled.test:
        counter("payments_total", "Finished payments.", ("status",)).labels(settled.status).inc()
    return settled


def _answer(payment: Payment) -> PaymentAnswer:
    return PaymentAnswer.model_validate(payment, from_attributes=True)


def _responses(*codes: int) -> dict[int | str, dict[str, object]]:
    others = {
        424: declared("The bank behind this token failed; ask again."),
        500: declared("The provider failed; ask again."),
        503: declared("The provider is down and has not processed this."),
    }
    return {code: others.get(code) or PROBLEMS[code] for code in codes}
