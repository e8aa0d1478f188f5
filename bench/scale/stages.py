"""From one laptop to many regions: what there is of each thing at a stage, and what an order then asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scale.costs import Costs
from scale.queueing import Station, bottleneck

READS, SIGN_INS = 5.0, 0.2
"""What else a customer does for one order: looks (through the gateway) and signs in. Assumed, not measured."""
SAGA_WORKERS, MAILS_AT_ONCE = 2, 8
"""Of one copy: `saga_workers` in order-service/src/service/settings.py, BATCH in notification-service's delivery.py."""
EXPORTED = 512.0
"""Spans a second that one process hands on at most: BATCH and INTERVAL in chassis/src/chassis/export.py."""
REFRESH_SHARE = 0.5
"""How much of its thread the data pipeline refreshes at most: it rests as long as a refresh took (pipeline.py)."""
NODE_CORES = 8
POOL = 6
"""Connections of one copy to its database, at most: POOL in chassis/src/chassis/database.py."""
SERVICES = ("gateway", "security-service", "user-service", "notification-service")
"""What has as many copies as a stage says, beside the order service."""
ON_THE_WAY = ("gateway", "security-service", "order-service")
"""Workloads whose CPU an order waits for before it is confirmed."""
AFTERWARDS = ("outbox relay", "consumer of orders", "mail workers")
REST = "rest of the saga"
MEASURED_COPIES = {"user-service": 2}
"""Workloads whose idling was measured with more than one copy."""
Cpu = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is. `commit_wait`: seconds that a commit waits for a standby. `cells`: order databases, each with its
    PostgreSQL and stream. `limiters`: each counts the requests of its share of callers. `regions` are like each other,
    and an order stays in one.
    """

    name: str
    cores: int
    order_copies: int
    copies: int
    replicas: int = 1
    commit_wait: float = 0.0
    cells: int = 1
    limiters: int = 1
    database_servers_apart: bool = False
    own_mail: bool = True
    own_telemetry: bool = True
    own_warehouse: bool = True
    sampling: float = 1.0
    regions: int = 1


LAPTOP = Stage("laptop", cores=2, order_copies=1, copies=1)
NODE = replace(LAPTOP, name="one node", cores=8, order_copies=3, copies=2, own_mail=False)
THREE = replace(
    NODE, name="three nodes", cores=24, order_copies=9, copies=3, replicas=3, commit_wait=0.0005, sampling=0.1
)
TWENTY = replace(
    THREE,
    name="twenty nodes",
    cores=160,
    order_copies=60,
    copies=10,
    database_servers_apart=True,
    own_telemetry=False,
    own_warehouse=False,
    sampling=0.01,
)
CELLS = replace(TWENTY, name="twenty nodes, 8 cells", order_copies=64, copies=16, cells=8)
ZONES = replace(
    CELLS,
    name="sixty nodes in 3 zones, 24 cells",
    cores=480,
    order_copies=192,
    copies=48,
    cells=24,
    limiters=3,
    commit_wait=0.0015,
)
PASSIVE = replace(ZONES, name="the same, and a passive region")
ACTIVE = replace(ZONES, name="four such regions, by home", regions=4)
STAGES = (LAPTOP, NODE, THREE, TWENTY, CELLS, ZONES, PASSIVE, ACTIVE)
"""A node has 8 cores, as quick as the measured ones. A standby in the same zone answers within 0.5 ms, one in another
zone within 1.5 ms (with its own flush; both assumed). A passive region follows asynchronously: no request waits for it.
"""


def stations(costs: Costs, stage: Stage) -> tuple[Station, ...]:
    """Everything that an order waits for in one region of a stage, and how long it needs it."""
    found = (*_processors(costs, stage), *_serial(costs, stage), *_workers(costs, stage), *_own(costs, stage))
    return tuple(station for station in found if station.demand > 0)


def processor_seconds(costs: Costs, stage: Stage, name: str) -> float:
    """CPU-seconds of one workload for an order and what comes with it."""
    kept = stage.sampling if name == "monitoring-observability" else 1.0
    order = costs.cpu_order.get(name, 0.0)
    if name == "data-pipeline":  # it refreshes as often as it may, however many orders there are: see `background`
        order = costs.counts["events loaded"] * costs.warehouse["load"]
    return kept * (order + READS * costs.cpu_read.get(name, 0.0) + SIGN_INS * costs.cpu_sign_in.get(name, 0.0))


def used_by(stage: Stage, name: str) -> bool:
    """Whether a workload of ours is there at a stage, or something else has taken over."""
    return {"mail-sink": stage.own_mail, "monitoring-observability": stage.own_telemetry}.get(
        name, stage.own_warehouse or name != "data-pipeline"
    )


def background(costs: Costs, stage: Stage) -> float:
    """Cores that are busy without a single order: heartbeats, polls, and the refreshing of reports."""
    copies = {"order-service": stage.order_copies} | dict.fromkeys(SERVICES, stage.copies)
    idle = sum(
        seconds * copies.get(name, 1) / MEASURED_COPIES.get(name, 1)
        for name, seconds in costs.cpu_idle.items()
        if used_by(stage, name)
    )
    return idle + (REFRESH_SHARE if stage.own_warehouse else 0.0)


def _processors(costs: Costs, stage: Stage) -> tuple[Station, ...]:
    names = [name for name in costs.cpu_order if used_by(stage, name)]
    everything = sum(processor_seconds(costs, stage, name) for name in names)
    pool = Station("all cores", everything, stage.cores - background(costs, stage))
    copies = {"order-service": stage.order_copies} | dict.fromkeys(SERVICES, stage.copies) | {"valkey": stage.limiters}
    copies["gateway"] *= min(stage.cores, NODE_CORES)  # Envoy has a worker for each core of its node
    return pool, *(
        Station(f"{name} (CPU)", processor_seconds(costs, stage, name), count) for name, count in copies.items()
    )


def _serial(costs: Costs, stage: Stage) -> tuple[Station, ...]:
    """What one does at a time, however many copies there are: only cells widen it."""
    per, limits, held = costs.counts, costs.limits, costs.serial
    appends = int(per["transactions that append"])
    published = int(per["messages published"])
    # The order service publishes all but the one of the mail.
    own = published - 1
    slower = 1 / limits[f"publishes R{stage.replicas}, one after the other"] - 1 / _alone(limits)
    servers = stage.cells if stage.database_servers_apart else 1
    notifies = appends if stage.database_servers_apart else per["transactions that notify"]
    flushes = per["flushes of PostgreSQL's log"]
    if stage.database_servers_apart:
        flushes *= per["transactions of order-service"] / per["transactions"]
    # A wait for a standby is shared by all concurrent flushes, but a lock is held through the wait.
    flush = 1 / limits["commits, eight connections"]
    notify = 1 / limits["notifying commits, eight connections"] + stage.commit_wait
    return (
        Station("append lock", held["append"] + appends * stage.commit_wait, stage.cells, appends),
        Station("NOTIFY lock", notifies * notify, servers, int(notifies)),
        Station("PostgreSQL's log", flushes * flush, servers),
        Station("outbox relay", held["relay"] + own * slower, stage.cells, own),
        Station(
            "consumer of orders", held["consumer"] + stage.commit_wait + 2 * (slower + 1 / _alone(limits)), stage.cells
        ),
        Station("projection", per["domain events"] * held["projection of orders, an event"], stage.cells),
        Station("stream", published / limits[f"publishes R{stage.replicas}, 200 under way"], stage.cells),
    )


def _alone(limits: Mapping[str, float]) -> float:
    """Publishes a second, one after the other, to the one server that the costs were measured with."""
    return limits["publishes R1, one after the other"]


def _workers(costs: Costs, stage: Stage) -> tuple[Station, ...]:
    steps = int(costs.counts["saga steps"])
    saga = costs.serial["saga"] + costs.counts["transactions that append"] * stage.commit_wait
    return (
        Station("saga workers", saga, SAGA_WORKERS * stage.order_copies, steps),
        Station("mail workers", costs.serial["deliver"], MAILS_AT_ONCE * stage.copies),
    )


def _own(costs: Costs, stage: Stage) -> tuple[Station, ...]:
    """Workloads of which there is one, because their data lie in a file of theirs."""
    names = ("monitoring-observability", "mail-sink")
    found = tuple(
        Station(f"{name} (CPU)", processor_seconds(costs, stage, name), 1) for name in names if used_by(stage, name)
    )
    if not stage.own_warehouse:
        return found
    load = costs.counts["events loaded"] * costs.warehouse["load"]
    return *found, Station("warehouse, loading", load, 1 - REFRESH_SHARE)


def way(costs: Costs, stage: Stage) -> tuple[Station, ...]:
    """What an order passes in its cell from the request to its mail: for how long it takes, not for how many fit.

    CPU is waited for where it is scarcer, and is busy with all that comes with orders. Of a saga's time, the append
    lock's and the CPU's are stations of their own; in truth who waits for them also keeps a worker, so close to a limit
    it takes longer than this says.
    """
    known = {
        each.name: replace(each, servers=each.servers / stage.cells) for each in stations(costs, stage) if each.demand
    }
    cpu = bottleneck([known["all cores"], known["order-service (CPU)"]])
    on_the_way = sum(costs.cpu_order[name] for name in ON_THE_WAY)
    workers, append = known["saga workers"], known["append lock"]
    steps = workers.visits
    rest = workers.demand - (append.demand + on_the_way) * steps / append.visits
    return (
        replace(
            cpu, visits=append.visits, aside=max(0, round(cpu.demand / on_the_way * append.visits) - append.visits)
        ),
        append,
        *((replace(workers, name=REST, demand=rest),) if rest > 0 else ()),
        *(known[name] for name in AFTERWARDS),
    )


def complete_telemetry(costs: Costs, stage: Stage) -> float:
    """Orders a second up to which every sampled span of the order service is handed on; beyond, the oldest are lost."""
    return EXPORTED * stage.order_copies / (costs.counts["spans of order-service"] * stage.sampling)


def connections(stage: Stage) -> int:
    """Connections to the fullest PostgreSQL server, at most."""
    orders = stage.order_copies // stage.cells
    others = 0 if stage.database_servers_apart else 3 * stage.copies + 1  # users, notifications, security; payments
    return POOL * (orders + others)
