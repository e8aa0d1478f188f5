"""What a step may set."""

from __future__ import annotations

from pydantic import Field

from stepflow.playbook import Settings


class OrderServiceSettings(Settings):
    """How many copies, in which currency, and how patient with the payment provider."""

    replicas: int = Field(default=1, ge=1, le=20, description="Copies of the order service; they share the work.")
    currency: str = Field(
        default="EUR", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the prices of a new catalogue."
    )
    payment_patience: float = Field(
        default=15, gt=0, le=3600, description="Seconds that a payment may take before the order is cancelled."
    )
    payment_faults: bool | None = Field(
        default=None,
        description="Whether administrators may break the payment provider for a while; by default not on Kubernetes.",
    )
