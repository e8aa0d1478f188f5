"""Erases what a test account ordered, when it is deleted: its orders end, and nothing of them is left."""

from __future__ import annotations

import asyncpg

from service.storage.aggregates import ORDER
from service.storage.views import OrderView


async def erase_tests(connection: asyncpg.Connection, user_id: str) -> int:
    """Delete the test orders of a user, and the shelf of test orders with the last of them; return how many they were.

    Orders that are not marked stay, also those of the same user.
    """
    # A projection that has read an order, and has yet to show it, is waited for.
    await connection.fetchval("SELECT position FROM projections WHERE name = $1 FOR UPDATE", OrderView.name)
    rows = await connection.fetch(
        "SELECT data->>'order_id' AS order_id FROM events"
        " WHERE test AND type = 'order-placed' AND data->>'user_id' = $1",
        user_id,
    )
    orders = [row["order_id"] for row in rows]
    await connection.execute("DELETE FROM sagas WHERE order_id = ANY($1)", orders)
    await connection.execute("DELETE FROM order_view WHERE order_id = ANY($1)", orders)
    await _delete(connection, [ORDER.stream(order) for order in orders])
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM events WHERE test AND type = 'order-placed')"):
        rows = await connection.fetch("SELECT DISTINCT stream FROM events WHERE test")
        await _delete(connection, [row["stream"] for row in rows])
    return len(orders)


async def _delete(connection: asyncpg.Connection, streams: list[str]) -> None:
    await connection.execute("DELETE FROM snapshots WHERE stream = ANY($1)", streams)
    await connection.execute("DELETE FROM events WHERE test AND stream = ANY($1)", streams)
