"""Configuration from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from chassis.settings import Settings


class PaymentSettings(Settings):
    """The configuration of the payment provider."""

    service: str = "payment-provider"
    database_url: SecretStr
    payment_api_key: SecretStr
    faults_enabled: bool = False
    """Whether administrators may switch faults on: for development."""
    slow_seconds: float = Field(default=3.0, ge=0, le=60)
    """How long a slow payment takes from when it was first asked for."""
