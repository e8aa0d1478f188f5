"""The client of the payment provider, and what its answers mean for the saga.

What matters is the difference between *no* and *no answer*: after a no, nothing was taken; without an answer money
may be gone, and has to be looked for before the order can be cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from httpx2 import ConnectError, ConnectTimeout, HTTPError, PoolTimeout, Response
from pydantic import SecretStr

from chassis.http import CircuitOpen, NoInstanceError, ServiceClient
from service.domain.money import Money
from service.payments.domain import NOT_PROCESSED


@dataclass(frozen=True, slots=True)
class Captured:
    """The money was taken."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """No: nothing was taken, and will not be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No answer. `untouched`: this attempt certainly did not reach the provider."""

    reason: str
    untouched: bool


Answer = Captured | Declined | Unavailable


@dataclass(frozen=True, slots=True)
class Voided:
    """Existing payments are voided; `found` says whether there were any."""

    found: bool


class PaymentProvider(Protocol):
    """What the saga needs from a provider."""

    async def authorise(
        self, order_id: str, amount: Money, token: str, until: datetime, *, test: bool = False
    ) -> Answer:
        """Take the money once per order id, but not after `until`; in test mode none is taken."""

    async def void(self, order_id: str) -> Voided | Unavailable:
        """Refund whatever was taken for an order."""


class HttpPaymentProvider:
    """The provider's HTTP API, through the mesh. The idempotency key is the order's id: one payment per order."""

    def __init__(self, client: ServiceClient, api_key: SecretStr) -> None:
        """Keep the client, with time limit and circuit breaker, and the provider's API key.

        The client must not repeat calls itself (`retries=0`): the saga does, and has to know how each attempt ended.
        """
        self._client = client
        self._headers = {"X-Api-Key": api_key.get_secret_value()}

    async def authorise(
        self, order_id: str, amount: Money, token: str, until: datetime, *, test: bool = False
    ) -> Answer:
        """Take the money once per order id, but not after `until`; in test mode none is taken."""
        body: dict[str, Any] = {
            "order_id": order_id,
            "amount": amount.amount,
            "currency": amount.currency,
            "token": token,
            "valid_until": until.astimezone(UTC).isoformat(),
        }
        if test:
            body["test"] = True
        headers = {**self._headers, "Idempotency-Key": order_id}
        response = await self._send("POST", "/payments", json=body, headers=headers)
        if isinstance(response, Unavailable):
            return response
        payment = response.json()
        if payment["status"] == "captured":
            return Captured(payment["id"])
        return Declined(payment["reason"] or payment["status"])

    async def void(self, order_id: str) -> Voided | Unavailable:
        """Refund whatever was taken for an order."""
        found = await self._send("GET", f"/payments?order_id={order_id}", headers=self._headers)
        if isinstance(found, Unavailable):
            return found
        payments = found.json()["items"]
        for payment in payments:
            voided = await self._send("POST", f"/payments/{payment['id']}/void", headers=self._headers)
            if isinstance(voided, Unavailable):
                return voided
        return Voided(found=bool(payments))

    async def _send(self, method: str, path: str, **request: Any) -> Response | Unavailable:  # noqa: ANN401 - passed on
        try:
            response = await self._client.request(method, path, idempotent=True, **request)
        except (CircuitOpen, NoInstanceError, ConnectError, ConnectTimeout, PoolTimeout) as error:
            return Unavailable(f"{type(error).__name__}: {error}", untouched=True)
        except HTTPError as error:
            return Unavailable(f"{type(error).__name__}: {error}", untouched=False)
        if response.is_success:
            return response
        return Unavailable(f"the provider answered {response.status_code}", untouched=_refused(response))


def _refused(response: Response) -> bool:
    """Return whether the provider says that it did nothing: it rejected the request, or says so in words."""
    if response.status_code in {400, 401, 403, 404, 422}:
        return True
    is_problem = response.headers.get("content-type", "").startswith("application/problem+json")
    return is_problem and response.json().get("type") == NOT_PROCESSED
