"""The playbook order-service: orders by event sourcing, CQRS and a saga, and the provider that takes the money."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.handoff import SecretFile, Value
from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server, Workload
from stepflow_playbooks.order_service.checks import checks
from stepflow_playbooks.order_service.handoff import OrderHandoff
from stepflow_playbooks.order_service.settings import OrderServiceSettings
from stepflow_playbooks.service import chassis_workload

NAME, PROVIDER = "order-service", "payment-provider"
API_KEY = SecretFile("payment-api-key")


class OrderService(Playbook[OrderServiceSettings]):
    """Takes orders, reserves stock, has them paid, and takes everything back when that fails."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Orders by event sourcing, CQRS and a saga, with a simulated payment provider"
    settings = OrderServiceSettings
    gives: ClassVar[type[OrderHandoff]] = OrderHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("events", ("event-driven", "message queue", "messaging"), "what happens is published", always=True),
        Feature("event-sourcing", ("event sourcing", "event store"), "orders are their events", always=True),
        Feature("cqrs", ("CQRS", "read model"), "what is read is projected from events", always=True),
        Feature("saga", ("saga", "compensation"), "stock and payment, undone in reverse", always=True),
        Feature("faults", ("fault injection", "chaos"), "administrators may break the payment provider"),
    )

    def render(self, step: StepInput[OrderServiceSettings]) -> Mapping[str, bytes]:
        """The source of both workloads, and of the library that they share."""
        context = {"platform": step.platform, "settings": step.settings, "faults": _faults(step)}
        return render_template(NAME, "chassis", context=context)

    def declare(self, step: StepInput[OrderServiceSettings]) -> Declaration:
        """The order service, the payment provider, a database for each, NATS."""
        servers = (Server("nats"), Server("postgres", "orders"), Server("postgres", "payments"))
        return Declaration(workloads=(_orders(step.settings), _payments(faults=_faults(step))), servers=servers)

    def handoff(self, step: StepInput[OrderServiceSettings]) -> OrderHandoff:
        """Where orders are taken, and which events tell of them."""
        return OrderHandoff(delivers=step.delivers, currency=step.settings.currency)

    def checks(self, step: StepInput[OrderServiceSettings]) -> Collection[Check]:
        """The catalogue answers; an order is confirmed, another declined and compensated, a third finds no stock."""
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
    """Say whether faults can be switched on: as set, as the prompt asks for, else where people develop."""
    chosen = step.settings.payment_faults
    return chosen if chosen is not None else "faults" in step.features or step.target != "kubernetes"
