"""Unit costs: what one order, one read and one sign-in take of the platform, and the limits of the same servers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = Path(__file__).with_name("costs.json")
"""The costs that docs/scale.md rests on."""


@dataclass(frozen=True, slots=True)
class Costs:
    """One measurement. Seconds are of this machine's cores; keys of the `cpu_` tables are workloads and servers."""

    taken: dict[str, str]
    """When, on what, under which load."""
    cpu_idle: dict[str, float]
    """CPU-seconds per second of each program when idle."""
    cpu_order: dict[str, float]
    """CPU-seconds an order, from the request at the gateway to the mail and the loaded events, beyond idling."""
    cpu_read: dict[str, float]
    """CPU-seconds of one `GET /api/orders/{id}` through the gateway, with its token and quota checked."""
    cpu_sign_in: dict[str, float]
    """CPU-seconds of one `POST /api/auth/login`, Argon2id included."""
    counts: dict[str, float]
    """How often an order does something: spans, statements, commits, messages, bytes."""
    serial: dict[str, float]
    """Seconds an order holds what only one may hold at a time, and the worker slots of sagas and mails."""
    limits: dict[str, float]
    """What the same servers do at most with the smallest work there is, in the same run, a second."""
    warehouse: dict[str, float]
    """Loading and refreshing, seconds an event."""
    observed: dict[str, float]
    """What the whole platform did: orders a second when saturated, seconds from placed to confirmed."""


def read(path: Path) -> Costs:
    """Read kept costs. Raises `ValueError` with what is wrong, `OSError` where the file cannot be read."""
    text = path.read_text(encoding="utf-8")
    try:
        return Costs(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no costs: {error}") from None


def write(costs: Costs, path: Path) -> None:
    """Keep costs, four significant digits each."""
    tables = {table: {name: _short(value) for name, value in values.items()} for table, values in asdict(costs).items()}
    path.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


def _short(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f"{value:.4g}")
