"""Queries over the read models."""

from __future__ import annotations

from typing import Any

from chassis.database import Database

Row = dict[str, Any]


async def order(database: Database, order_id: str) -> Row | None:
    """Return one order's row."""
    async with database.acquire() as connection:
        row = await connection.fetchrow("SELECT * FROM order_view WHERE order_id = $1", order_id)
    return dict(row) if row else None


async def orders(
    database: Database, *, user_id: str | None, status: str | None, before: int | None, limit: int, test: bool = False
) -> list[Row]:
    """Return orders, the newest first: of one user or of all, of one status or of any, placed before a position.

    Those of all are the shop's or, with `test`, those of test accounts.
    """
    async with database.acquire() as connection:
        rows = await connection.fetch(
            "SELECT * FROM order_view WHERE (user_id = $1 OR $1::text IS NULL AND test = $5)"
            " AND ($2::text IS NULL OR status = $2) AND ($3::bigint IS NULL OR placed_position < $3)"
            " ORDER BY placed_position DESC LIMIT $4",
            *(user_id, status, before, limit, test),
        )
    return [dict(row) for row in rows]


async def products(database: Database, *, after: str, limit: int) -> list[Row]:
    """Return products by SKU, after the given one."""
    async with database.acquire() as connection:
        rows = await connection.fetch("SELECT * FROM product_view WHERE sku > $1 ORDER BY sku LIMIT $2", after, limit)
    return [dict(row) for row in rows]
