"""`python -m service.rebuild`: rebuild the read models from the events, while the service keeps running."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chassis.database import Database
from chassis.settings import load
from service.settings import OrderSettings
from service.storage import projections, views


async def rebuild(settings: OrderSettings) -> None:
    """Rebuild all read models, and print from how many events."""
    database = Database(settings.database_url, Path(__file__).parent / "migrations")
    await database.open()
    try:
        for projection in views.ALL:
            events = await projections.rebuild(database, projection)
            sys.stdout.write(f"{projection.name}: rebuilt from {events} events\n")
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(rebuild(load(OrderSettings)))
