"""Configuration from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from chassis.settings import Settings


class OrderSettings(Settings):
    """The configuration of the order service."""

    service: str = "order-service"
    database_url: SecretStr
    payment_api_key: SecretStr
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    """ISO 4217 code of the catalogue's prices; given to products when they are first listed."""
    payment_timeout: float = Field(default=2.0, gt=0, le=4)
    """Seconds that one request to the payment provider may take; less than a saga's lease."""
    payment_patience: float = Field(default=15.0, gt=0, le=3600)
    """Seconds that a payment may take, all attempts together, before the order is cancelled."""
    saga_workers: int = Field(default=2, ge=0, le=16)
    """Sagas that one replica executes at the same time; 0 for a replica that only answers requests."""
    consistency_wait: float = Field(default=2.0, ge=0, le=30)
    """Seconds that a reader waits at most for the read model to catch up."""
