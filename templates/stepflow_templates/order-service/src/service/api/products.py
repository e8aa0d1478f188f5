"""`/api/products`: the catalogue, open to all."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from chassis.database import Database
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from service.api.consistency import FRESHNESS_PROBLEMS, Freshness, Token
from service.api.models import ProductAnswer
from service.storage import queries


def catalogue(database: Database, freshness: Freshness) -> APIRouter:
    """Make the routes."""
    routes = APIRouter(prefix="/api/products", tags=["products"])

    @routes.get("", responses=FRESHNESS_PROBLEMS)
    async def list_products(
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
        token: Token = None,
    ) -> Page[ProductAnswer]:
        """List the products by SKU, with what is in stock."""
        await freshness.demand("products", token)
        after = decode_cursor(cursor, str)[0] if cursor else ""
        rows = await queries.products(database, after=after, limit=limit + 1)
        following = encode_cursor(rows[limit - 1]["sku"]) if len(rows) > limit else None
        response.headers.update(link_header(request.url, following))
        return Page(items=[ProductAnswer.model_validate(row) for row in rows[:limit]], next=following)

    return routes
