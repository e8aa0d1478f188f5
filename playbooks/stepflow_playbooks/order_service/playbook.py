"""The playbook order-service: orders by event sourcing, CQRS and a saga, and a payment provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from pydantic import Field

from stepflow.handoff import SecretFile, Value
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server, Workload
from stepflow_playbooks.handoffs.order_service import OrderHandoff
from stepflow_playbooks.order_service.checks import checks
from stepflow_playbooks.service import chassis_workload

NAME, PROVIDER = "order-service", "payment-provider"
API_KEY = SecretFile("payment-api-key")


class OrderServiceSettings(Settings):
    """Replicas, currency, and how long a payment may take."""

    replicas: int = Field(default=1, ge=1, le=20, description="Replicas of the order service; they share the work.")
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


class OrderService(Playbook[OrderServiceSettings]):
    """Orders whose stock and payment are rolled back when one of them fails."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Orders by event sourcing, CQRS and a saga, with a simulated payment provider"
    settings = OrderServiceSettings
    gives: ClassVar[type[OrderHandoff]] = OrderHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "events",
            ("event-driven", "message queue", "messaging"),
            "every change of an order is published as an event",
            always=True,
        ),
        Feature("event-sourcing", ("event sourcing", "event store"), "orders are stored as their events", always=True),
        Feature("cqrs", ("CQRS", "read model"), "reads come from projections of the events", always=True),
        Feature("saga", ("saga", "compensation"), "stock and payment, compensated in reverse order", always=True),
        Feature("faults", ("fault injection", "chaos"), "administrators may break the payment provider"),
    )

    def render(self, step: StepInput[OrderServiceSettings]) -> Mapping[str, bytes]:
        """Return the source of both workloads and of the chassis."""
        context = {"platform": step.platform, "settings": step.settings, "faults": _faults(step)}
        return render_template(NAME, "chassis", context=context)

    def declare(self, step: StepInput[OrderServiceSettings]) -> Declaration:
        """Declare the order service, the payment provider, a database for each, and NATS."""
        servers = (Server("nats"), Server("postgres", "orders"), Server("postgres", "payments"))
        return Declaration(workloads=(_orders(step.settings), _payments(faults=_faults(step))), servers=servers)

    def handoff(self, step: StepInput[OrderServiceSettings]) -> OrderHandoff:
        """Return where orders are placed, and the events about them."""
        return OrderHandoff(delivers=step.delivers, currency=step.settings.currency)

    def checks(self, step: StepInput[OrderServiceSettings]) -> Collection[Check]:
        """Return the checks of the catalogue and of a confirmed, a declined and a rejected order."""
        return checks(step.settings.payment_patience)


def _orders(settings: OrderServiceSettings) -> Workload:
    env: dict[str, Value] = {
        "PAYMENT_API_KEY_FILE": API_KEY,
        "CURRENCY": settings.currency,
        "PAYMENT_PATIENCE": f"{settings.payment_patience:g}",
    }
    return chassis_workload(NAME, env, replicas=settings.replicas, database="orders")


def _payments(*, faults: bool) -> Workload:
    env: dict[str, Value] = {
        "PAYMENT_API_KEY_FILE": API_KEY,
        "FAULTS_ENABLED": str(faults).lower(),
    }
    return chassis_workload(PROVIDER, env, context=NAME, module="service.payments", database="payments")


def _faults(step: StepInput[OrderServiceSettings]) -> bool:
    """Return whether faults can be injected: as set, as the prompt asks for, or else where others do not reach it."""
    chosen = step.settings.payment_faults
    return chosen if chosen is not None else "faults" in step.features or not step.shared
