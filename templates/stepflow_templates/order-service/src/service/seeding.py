"""The initial catalogue: listed once, in the event store like everything else."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from chassis.database import Database
from service.domain import events as e
from service.domain.money import Money
from service.storage.aggregates import PRODUCT, load, save
from service.storage.event_store import VersionConflict


def products() -> list[dict[str, Any]]:
    """Return the products of `catalogue.json`."""
    listed: list[dict[str, Any]] = json.loads(resources.files("service").joinpath("catalogue.json").read_text("utf-8"))
    return listed


async def seed(database: Database, currency: str) -> None:
    """List what is not listed yet, with prices in this currency. Replicas may do so at the same time."""
    for product in products():
        try:
            async with database.transaction() as connection:
                if await load(connection, PRODUCT, product["sku"]) is None:
                    await save(connection, PRODUCT, product["sku"], None, _listing(product, currency))
        except VersionConflict:
            continue  # another replica listed it first


def _listing(product: dict[str, Any], currency: str) -> tuple[e.ProductEvent, ...]:
    price = Money(product["price"], currency)
    listed = e.ProductListed(product["sku"], product["name"], product["description"], price)
    return (listed, e.StockReceived(product["stock"])) if product["stock"] else (listed,)
