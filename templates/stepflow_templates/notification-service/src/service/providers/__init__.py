"""What hands a message over: one provider a channel. A new one implements `Provider` and is named in `providers_of`."""

from __future__ import annotations

from typing import Protocol

from service.messages import Message


class RefusedError(Exception):
    """The provider will never take this message; trying again is pointless."""


class UnavailableError(Exception):
    """The provider does not take the message now; it is tried again later."""


class Provider(Protocol):
    """Hands messages of one channel over."""

    name: str
    real: bool
    """Whether the message leaves the platform."""
    note: str
    """What a person should know, in a sentence."""

    async def deliver(self, message: Message) -> str:
        """Hand over and give the provider's own id. Raises `RefusedError` or `UnavailableError`.

        A message may come a second time when this service was killed after the hand-over; the id of the message is the
        same then.
        """
