"""Providers deliver messages, one per channel. A new one implements `Provider` and is named in `providers_of`."""

from __future__ import annotations

from typing import Protocol

from service.messages import Message


class RefusedError(Exception):
    """The provider will never accept this message; retrying is pointless."""


class UnavailableError(Exception):
    """The provider does not accept the message now; it is retried later."""


class Provider(Protocol):
    """Delivers messages of one channel."""

    name: str
    real: bool
    """Whether the message leaves the platform."""
    note: str
    """What a person should know, in one sentence."""

    async def deliver(self, message: Message) -> str:
        """Deliver a message and return the provider's own id. Raises `RefusedError` or `UnavailableError`.

        A message may arrive twice when this service was killed after the hand-over; its id is then the same.
        """
