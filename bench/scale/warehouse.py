"""The data pipeline's own code on a history of made-up orders: seconds to load an event, and to refresh after so many.

Run with the rendered `data-pipeline/src` and `chassis/src` on PYTHONPATH; writes JSON to stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chassis.events import Event  # type: ignore[import-not-found]  # the rendered code's
from service import loading, transform  # type: ignore[import-not-found]  # likewise
from service.warehouse import Warehouse  # type: ignore[import-not-found]  # likewise

BATCH = 500
WHEN = "2026-01-01T00:00:00Z"


def arrived(first: int, count: int) -> list[Any]:
    """Two events of each order, placed and confirmed, as the stream would bring them."""
    messages = []
    for sequence in range(first, first + count):
        kind, moment = ("placed", "placed_at") if sequence % 2 else ("confirmed", "confirmed_at")
        item = {"sku": f"SKU-{sequence % 50}", "name": "Thing", "quantity": 1, "unit_price": 950}
        data: dict[str, Any] = {
            "order_id": f"order-{(sequence - 1) // 2}",
            "user_id": f"user-{sequence % 1000}",
            "items": [item],
        }
        data |= {"total": 950, "currency": "EUR", moment: WHEN}
        event = Event(type=f"orders.v1.{kind}", subject=data["order_id"], data=data, source="bench")
        messages.append(loading.Arrived(sequence, event.type, event.encode()))
    return messages


async def main(sizes: list[int]) -> dict[str, float]:
    """Grow a warehouse to each size, and refresh it there by one more batch."""
    figures: dict[str, float] = {}
    models = transform.shipped()
    with tempfile.TemporaryDirectory(prefix="stepflow-bench-") as folder:
        warehouse = Warehouse(Path(folder, "warehouse.duckdb"))
        await warehouse.open()
        loaded, spent = 0, 0.0
        for size in sizes:
            while loaded < size:
                batch, at = arrived(loaded + 1, BATCH), loading.Position("orders", "bench", loaded)
                begun = time.perf_counter()
                done = await warehouse.transaction(lambda c, at=at, batch=batch: loading.load(c, at, batch))
                spent += time.perf_counter() - begun
                assert done.rows == BATCH, done
                loaded += BATCH
            for _ in range(2):  # the first one takes all that is new, the second finds a history
                refreshed = await warehouse.transaction(lambda c: transform.refresh(c, models))
            figures[f"refresh at {size} events"] = refreshed.seconds
        await warehouse.close()
    return figures | {"load": spent / loaded}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main([int(size) for size in sys.argv[1:]]))))
