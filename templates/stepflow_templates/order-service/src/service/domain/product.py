"""A product and its stock: the second aggregate. Its stream grows with every sale, which is what snapshots are for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.domain import events as e
from service.domain.money import Money


class OutOfStock(Exception):  # noqa: N818 - a refusal of the domain, not a fault of the program
    """Fewer pieces are in stock than were requested."""

    def __init__(self, sku: str, wanted: int, available: int) -> None:
        """Name the product, the requested and the available quantity."""
        super().__init__(f"{sku}: {wanted} wanted, {available} available")
        self.sku = sku


@dataclass(frozen=True, slots=True)
class Product:
    """A product as its events left it."""

    sku: str
    name: str
    description: str
    price: Money
    test: bool = False  # on the shelf of test orders, which is not the shop's
    available: int = 0
    version: int = 1

    def for_tests(self) -> tuple[e.ProductEvent, ...]:
        """Return what puts a copy of it, with as many pieces, on the shelf of test orders."""
        listed = e.ProductListed(self.sku, self.name, self.description, self.price, test=True)
        return (listed, e.StockReceived(self.available)) if self.available else (listed,)

    def reserve(self, order_id: str, quantity: int) -> tuple[e.ProductEvent, ...]:
        """Set pieces aside; raises `OutOfStock`."""
        if quantity > self.available:
            raise OutOfStock(self.sku, quantity, self.available)
        return (e.UnitsReserved(order_id, quantity),)

    def release(self, order_id: str, quantity: int) -> tuple[e.ProductEvent, ...]:
        """Return pieces to stock. The order guarantees that it returns only what it took, and only once."""
        return (e.UnitsReleased(order_id, quantity),)


def evolve(product: Product | None, event: e.ProductEvent) -> Product:
    """Apply one event; raises `ValueError` for a product that was never listed, or listed twice."""
    if isinstance(event, e.ProductListed):
        if product is not None:
            raise ValueError(f"product {event.sku} was listed twice")
        return Product(event.sku, event.name, event.description, event.price, event.test)
    if product is None:
        raise ValueError(f"{type(event).__name__} came before ProductListed")
    change = -event.quantity if isinstance(event, e.UnitsReserved) else event.quantity
    return replace(product, available=product.available + change, version=product.version + 1)
