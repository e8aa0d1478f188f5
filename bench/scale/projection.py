"""The order service's own projection over all stored events: seconds per event, by the replica that may project.

Run with the rendered `order-service/src` and `chassis/src` on PYTHONPATH, the database's URL as DATABASE_URL; writes
JSON to stdout. Each read model is rebuilt, as `rebuild` does it: the same statements as while keeping up.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import service  # type: ignore[import-not-found]  # the rendered code's
from chassis.database import Database  # type: ignore[import-not-found]  # likewise
from pydantic import SecretStr
from service.storage import projections, views  # type: ignore[import-not-found]  # likewise


async def main() -> dict[str, float]:
    """Rebuild each read model once."""
    database = Database(SecretStr(os.environ["DATABASE_URL"]), Path(service.__file__).parent / "migrations")
    await database.open()
    figures = {}
    for view in views.ALL:
        begun = time.perf_counter()
        events = await projections.rebuild(database, view)
        figures[view.name] = (time.perf_counter() - begun) / max(1, events)
    await database.close()
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
