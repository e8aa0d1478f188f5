"""Tables and figures out of the model, and how they get into a document: between marks that say which one it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from scale.costs import Costs
from scale.queueing import PLANNED, Station, bottleneck, capacity, mean_response, quantile, simulate
from scale.stages import AFTERWARDS, LAPTOP, STAGES, Stage, complete_telemetry, connections, stations, way

MARKED = re.compile(r"<!--=(?P<name>[^>]+?)-->(?P<text>.*?)<!--/-->", re.DOTALL)
LOADS = (0.3, 0.5, 0.7, 0.9)
"""Utilisations of the fullest station on the way at which an order's time is simulated."""
SIMULATED, SEED = 2_000, 4
DAY = 86_400
Cell = str | float


def refreshed(document: str, costs: Costs) -> str:
    """The document with everything that is marked as the model says it now. Raises `KeyError` for an unknown mark."""
    known = figures(costs)

    def put(found: re.Match[str]) -> str:
        return f"<!--={found['name']}-->{known[found['name']]()}<!--/-->"

    return MARKED.sub(put, document)


def figures(costs: Costs) -> Mapping[str, Callable[[], str]]:
    """What a document may contain, by the name of its mark; tables are made when they are asked for."""
    told = {f"table {name}": partial(_table_of, rows, costs) for name, rows in TABLES.items()}
    texts = _derived(costs) | {"taken": f"{costs.taken['date']}, {costs.taken['machine']}; load {costs.taken['load']}"}
    texts |= {f"count {name}": number(value) for name, value in costs.counts.items()}
    for stage in STAGES:
        texts |= {f"{each.name}, {stage.name}": number(each.capacity()) for each in stations(costs, stage)}
        texts[f"connections, {stage.name}"] = number(connections(stage))
    return told | {name: partial(str, text) for name, text in texts.items()}


def _table_of(rows: Rows, costs: Costs) -> str:
    return table(rows(costs))


def _derived(costs: Costs) -> dict[str, str]:
    history = _refresh(costs)
    return {
        "gigabytes a day at 10 orders a second": number(10 * DAY * costs.counts["bytes of PostgreSQL's log"] / 1e9),
        "gigabytes of stream a day at 10 orders a second": number(10 * DAY * costs.counts["bytes in streams"] / 1e9),
        "gigabytes of telemetry a day at 10 orders a second": number(
            10 * DAY * costs.counts["bytes of telemetry"] / 1e9
        ),
        "minutes of telemetry at 10 orders a second": number(512e6 / (10 * costs.counts["bytes of telemetry"]) / 60),
        "spans a copy": number(complete_telemetry(costs, LAPTOP)),
        "events that refresh in 30 s": number(30 / history / 1e6),
        "days to them at 10 orders a second": number(30 / history / (10 * costs.counts["events loaded"] * DAY)),
        "heartbeats": number(100 * 1000 / costs.limits["publishes R3, 200 under way"]),
    }


def _refresh(costs: Costs) -> float:
    """Seconds that an event of the history adds to each refresh: the slope between the two sizes."""
    sizes = sorted(
        (int(re.sub(r"\D", "", name)), value) for name, value in costs.warehouse.items() if "refresh" in name
    )
    (small, first), (large, second) = sizes[0], sizes[-1]
    return (second - first) / (large - small)


def stage_rows(costs: Costs) -> Iterable[tuple[Cell, ...]]:
    """Each stage: what fits, what is full first, what would be next."""
    yield (
        "stage",
        "cores",
        "order copies",
        "orders/s",
        "a day",
        "full first",
        "then",
        "all spans kept up to",
    )
    for stage in STAGES:
        found = stations(costs, stage)
        first = bottleneck(found)
        second = bottleneck([station for station in found if station is not first])
        fits = capacity(found) * stage.regions
        yield (
            *(stage.name, stage.cores * stage.regions, stage.order_copies * stage.regions, fits),
            f"{number(fits * DAY / 1e6)} M",
            *(first.name, f"{second.name}, {number(second.capacity() * stage.regions)}"),
            f"{number(complete_telemetry(costs, stage) * stage.regions)}/s",
        )


def station_rows(costs: Costs) -> Iterable[tuple[Cell, ...]]:
    """Each thing that work waits for, and the orders a second that one of it carries at the planned utilisation."""
    yield ("what", "an order needs it", "one carries", *(stage.name for stage in STAGES[:-2]))
    shown = {stage.name: {each.name: each for each in stations(costs, stage)} for stage in STAGES[:-2]}
    names = dict.fromkeys(name for known in shown.values() for name in known)
    for name in names:
        one = next(known[name] for known in shown.values() if name in known)
        used = (f"{number(known[name].capacity())}" if name in known else "taken over" for known in shown.values())
        yield (name, f"{number(one.demand * 1000)} ms", f"{number(PLANNED / one.demand)}/s", *used)


def count_rows(costs: Costs) -> Iterable[tuple[Cell, ...]]:
    """What an order does."""
    yield ("of one order, confirmed and mailed", "how often")
    for name, value in costs.counts.items():
        if not name.startswith("orders "):
            yield (name, value)


def limit_rows(costs: Costs) -> Iterable[tuple[Cell, ...]]:
    """The same servers with nothing but the smallest work, and what the platform gets out of them."""
    yield ("in the same run, a second", "at most", "the platform, full, on 2 cores", "part of it")
    fits = capacity(stations(costs, LAPTOP))
    counts = costs.counts
    asked = {
        "commits, eight connections": fits * counts["flushes of PostgreSQL's log"],
        "notifying commits, eight connections": fits * counts["transactions that notify"],
        "publishes R1, one after the other": fits * counts["messages published"],
        "Envoy's own answers a CPU-second": 1 / costs.cpu_read["gateway"],
    }
    for name, limit in costs.limits.items():
        used = asked.get(name)
        yield (name, limit, used or "", f"{number(used / limit)}" if used else "")


def time_rows(costs: Costs) -> Iterable[tuple[Cell, ...]]:
    """How long it takes from request to mail, simulated, against the load without queueing."""
    yield (
        "stage",
        "what fills on the way",
        "alone, mean",
        *(f"p99 at {load:.0%}" for load in LOADS),
        "90% to 30%",
    )
    for stage in STAGES[:-2]:
        path = way(costs, stage)
        full = bottleneck(path)
        times = [quantile(simulate(path, full.capacity(load), SIMULATED, SEED), 0.99) for load in LOADS]
        alone = mean_response(path, 0)
        cells = (f"{number(seconds)} s" for seconds in times)
        yield (stage.name, full.name, f"{number(alone)} s", *cells, times[-1] / times[0])


def check_rows(costs: Costs) -> Iterable[tuple[Cell, ...]]:
    """What the model says of the very machine that was measured, beside what was seen."""
    yield ("on the laptop, orders alone", "model", "measured", "model / measured")
    rate, alone = costs.observed["orders a second, measured at"], only_orders(costs)
    path = [station for station in way(alone, LAPTOP) if station.name not in AFTERWARDS]
    seconds = (
        quantile(simulate(path, rate, SIMULATED, SEED), 0.5),
        quantile(simulate(path, rate, SIMULATED, SEED), 0.99),
    )
    for name, said, key in (
        ("orders a second at most", capacity(stations(alone, LAPTOP), 1.0), "orders a second, saturated"),
        (f"seconds to confirmed at {rate:g} orders/s, median", seconds[0], "placed to confirmed, p50"),
        (f"seconds to confirmed at {rate:g} orders/s, p99", seconds[1], "placed to confirmed, p99"),
    ):
        yield (name, said, costs.observed[key], said / costs.observed[key])


def only_orders(costs: Costs) -> Costs:
    """The same costs for customers who neither look nor sign in, as in the measurement."""
    return replace(costs, cpu_read={}, cpu_sign_in={})


Rows = Callable[[Costs], Iterable[tuple[Cell, ...]]]
TABLES: dict[str, Rows] = {
    "stages": stage_rows,
    "stations": station_rows,
    "order": count_rows,
    "limits": limit_rows,
    "times": time_rows,
    "check": check_rows,
}


def table(rows: Iterable[tuple[Cell, ...]]) -> str:
    """Rows as a Markdown table, the first one its head; on lines of its own."""
    head, *body = ([cell if isinstance(cell, str) else number(cell) for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float) -> str:
    """Two significant digits: more would be a lie. Three from 100 on, with a comma from 1,000 on."""
    if value >= 100:  # noqa: PLR2004 - as the docstring says
        digits = len(f"{value:.0f}")
        return f"{round(value, 3 - digits):,.0f}"
    return f"{float(f'{value:.2g}'):g}"


def data(costs: Costs) -> dict[str, object]:
    """The same as JSON: each stage with its stations."""

    def one(stage: Stage) -> dict[str, object]:
        found = stations(costs, stage)
        return {
            "orders_a_second": capacity(found) * stage.regions,
            "bottleneck": bottleneck(found).name,
            "connections": connections(stage),
            "telemetry_complete_up_to": complete_telemetry(costs, stage) * stage.regions,
            "stations": {each.name: _station(each) for each in found},
        }

    return {"utilisation": PLANNED, "stages": {stage.name: one(stage) for stage in STAGES}}


def _station(station: Station) -> dict[str, float]:
    return {"demand_s": station.demand, "servers": station.servers, "capacity": station.capacity()}
