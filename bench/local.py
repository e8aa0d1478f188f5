"""The local target alone: how long real servers take from nothing, after kill -9, and when nothing is to be done.

How it is measured: wall-clock seconds of the target's own calls in this process (imports done, wheels installed), in a
fresh directory each round; the median and the extremes of all rounds. `cold` is from an empty directory to NATS,
PostgreSQL (initdb and one database with its role included), Valkey and Envoy answering; `warm` the same again after
`down`, with the data there; `kill -9` from the signal until the supervisor calls the server ready again with another
pid (it looks every 0.05 s); `supervisor` from killing it until all servers are ready again.

    .venv/bin/python bench/local.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from stepflow.handoff import ConfigFile, Endpoint
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Site, Target, discard
from stepflow.workload import Declaration, HttpProbe, Json, Port, Server, Workload

SERVERS = (Server("nats"), Server("postgres", "bench"), Server("valkey"))
LIMITS = {"cold": 5.0, "warm": 3.0, "no-op apply": 0.1, "observe": 0.1, "kill -9 supervisor": 5.0}


def gateway() -> Workload:
    """Envoy with nothing but its admin port."""
    address: Json = {
        "address": Endpoint("gateway", "admin", "bind"),
        "port_value": Endpoint("gateway", "admin", "port"),
    }
    return Workload(
        "gateway",
        ("envoy", "-c", ConfigFile("boot.json")),
        HttpProbe("/ready", port="admin", interval=0.05),
        ports=(Port("admin", 9901, env=""),),
        configs={"boot.json": {"admin": {"address": {"socket_address": address}}}},
    )


async def seconds(work: Awaitable[object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


async def all_new(target: Target, old: frozenset[str]) -> None:
    """Wait until everything is ready and none of the old processes is there."""
    while True:
        seen = (await target.observe()).values()
        if all(each.state == "ready" and each.handles and not old & set(each.handles) for each in seen):
            return
        await asyncio.sleep(0.005)


async def back(target: Target, name: str) -> float:
    """Kill one server; give the seconds until it is ready again."""
    [pid] = (await target.observe())[name].handles
    start = time.perf_counter()
    os.kill(int(pid), signal.SIGKILL)
    while True:
        seen = (await target.observe())[name]
        if seen.state == "ready" and seen.handles and pid not in seen.handles:
            return time.perf_counter() - start
        await asyncio.sleep(0.005)


async def one_round(root: Path) -> dict[str, float]:
    """Use a platform from its making to its end."""
    (root / "out").mkdir()
    target = open_target("local", Site("bench", root / "state", root / "out"))
    try:
        return await measure(target, root)
    finally:
        await target.remove(None, data=True)


async def measure(target: Target, root: Path) -> dict[str, float]:
    """Return the seconds of each operation on a platform."""
    from stepflow.targets.local.layout import Layout  # noqa: PLC0415 - the supervisor's pid is not part of the contract
    from stepflow.targets.local.spec import read_observed  # noqa: PLC0415 - likewise

    declaration = Declaration((gateway(),), SERVERS)

    def apply() -> Awaitable[object]:
        return target.apply(Desired(declaration, {"gateway": "1"}), discard)

    figures = {"cold": await seconds(apply()), "no-op apply": await seconds(apply())}
    figures["observe"] = await seconds(target.observe())
    for name in ("nats", "postgres", "valkey", "gateway"):
        figures[f"kill -9 {name}"] = await back(target, name)
    pids = frozenset(pid for each in (await target.observe()).values() for pid in each.handles)
    os.kill(read_observed(Layout(root / "state").observed).supervisor, signal.SIGKILL)
    figures["kill -9 supervisor"] = await seconds(all_new(target, pids))
    figures["remove"] = await seconds(target.remove(None))
    figures["warm"] = await seconds(apply())
    figures["remove with data"] = await seconds(target.remove(None, data=True))
    return figures


async def main() -> int:
    """Print the figures; the exit code tells whether they are within their limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = []
    for _ in range(parser.parse_args().rounds):
        root = Path(tempfile.mkdtemp(prefix="stepflow-bench-"))
        try:
            rounds.append(await one_round(root))
        finally:
            shutil.rmtree(root, ignore_errors=True)
    late = 0
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        median, limit = statistics.median(values), LIMITS.get(name)
        late += limit is not None and median > limit
        extremes = f"{min(values):7.3f} to {max(values):7.3f}"
        print(f"{name:20} {median:7.3f} s  ({extremes}){f'  limit {limit:g}' if limit else ''}")
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
