"""What a plan prints is what the executor does on this machine, from any state; then there is nothing left to do."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from memory_supervisor import SETTINGS, Platform, platform

from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

PASSING = {"keep", "wait", "start"}


@dataclass(frozen=True)
class Wish:
    """What a document may ask for."""

    replicas: int = 2
    digest: str = "1"
    colour: str = ""
    servers: frozenset[str] = frozenset()
    database: bool = True

    def desired(self) -> Desired:
        probe, command = HttpProbe("/"), ("python", "-m", "service")
        env: dict[str, Any] = {"GATE": Endpoint("gateway"), "KEY": SecretFile("key"), "BUS": ServerFile("nats")}
        env |= {"COLOUR": self.colour} if self.colour else {}
        env |= {"DB": ServerFile("postgres", "hello")} if self.database else {}
        hello = Workload("hello", command, probe, env=env, replicas=self.replicas, needs=("gateway",))
        gateway = Workload("gateway", command, probe, ports=(Port(number=8080, published=True),))
        file: dict[str, Any] = {"DIR": DataDir("kept"), "FILE": ConfigFile("c.json")}
        keeper = Workload("keeper", command, probe, env=file, data=("kept",), configs={"c.json": {"a": self.digest}})
        workloads = (hello, gateway, keeper)
        digests = {"hello": f"{self.digest}{self.colour}{self.database}", "gateway": self.digest, "keeper": "1"}
        servers = tuple(Server(kind) for kind in sorted(self.servers))  # type: ignore[arg-type]
        return Desired(Declaration(workloads, servers), digests, workloads)


WISHES = st.builds(
    Wish,
    replicas=st.integers(1, 3),
    digest=st.sampled_from("12"),
    colour=st.sampled_from(["", "blue"]),
    servers=st.frozensets(st.sampled_from(["nats", "postgres", "valkey"])),
    database=st.booleans(),
)


@contextmanager
def _disturbed(shop: Platform, data: st.DataObject) -> Iterator[None]:
    """Do to a platform what a person or a machine may do to it."""
    layout, supervisor = shop.layout, shop.supervisor
    for name in data.draw(st.sets(st.sampled_from(sorted(supervisor.running))), label="not ready"):
        # Which of several copies stays depends on which are ready: one that becomes so in between is another state.
        states = ["failed"] if name.startswith("hello-") else ["starting", "failed"]
        supervisor.put(name, data.draw(st.sampled_from(states), label=name))
    secrets = sorted(each.name for each in layout.secrets.iterdir())
    for name in data.draw(st.sets(st.sampled_from(secrets)), label="lost secrets"):
        (layout.secrets / name).unlink()
    kept = sorted(each.name for each in layout.data.iterdir())
    for name in data.draw(st.sets(st.sampled_from(kept)) if kept else st.just(set()), label="lost data"):
        shutil.rmtree(layout.data / name)
    if layout.cluster.exists() and data.draw(st.booleans(), label="a database was dropped"):
        shutil.rmtree(layout.cluster / "base")
        (layout.cluster / "base").mkdir()
    if layout.cluster.exists():
        for name in data.draw(st.sets(st.sampled_from(SETTINGS)), label="edited settings"):
            (layout.cluster / name).write_text("edited")
    if data.draw(st.booleans(), label="a configuration was edited"):
        next(layout.configs.glob("keeper-1/*")).write_text("edited")
    with socket.socket() as other:
        if data.draw(st.booleans(), label="the machine was restarted"):
            supervisor.killed()
            if data.draw(st.booleans(), label="a port was taken"):
                name = data.draw(st.sampled_from(sorted(supervisor.running)), label="of")
                other.bind(("127.0.0.1", next(iter(supervisor.running[name].ports.values() or [0]))))
                other.listen()
        yield


def _effects(actions: tuple[Action, ...]) -> Counter[tuple[str, str]]:
    """Return what the executor has to do, at its boundary, for these actions."""
    effects: Counter[tuple[str, str]] = Counter()
    for each in actions:
        if each.owner.startswith("database-"):
            database = each.owner.removeprefix("database-")
            effects.update([("let in", database)] if each.verb in {"create", "change"} else [])
            effects.update([("made", database)] if each.verb == "create" else [])
            continue
        if each.verb in {"create", "replace", "restart"}:
            effects["started", each.name] += 1
        if each.verb == "remove" or each.old or (each.verb == "replace" and each.owner == each.name):
            effects["stopped", each.old or each.name] += 1
    return effects


# An example takes half a second: one that fails is shown as it is.
@settings(
    deadline=None,
    max_examples=30,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_was_printed_is_what_was_done_and_then_all_is_kept(data: st.DataObject) -> None:
    async def both(shop: Platform) -> None:
        if data.draw(st.booleans(), label="ran before"):
            await shop.run(data.draw(WISHES, label="before").desired())
            with _disturbed(shop, data):
                await _planned_and_run(shop, data.draw(WISHES, label="now"))
        else:
            await _planned_and_run(shop, data.draw(WISHES, label="now"))

    with platform(Path(tempfile.mkdtemp(prefix="local-"))) as shop:
        asyncio.run(both(shop))


async def _planned_and_run(shop: Platform, wish: Wish) -> None:
    printed = await shop.plan(wish.desired())
    down = any(each.verb == "start" for each in printed)
    shop.supervisor.did.clear()
    done = await shop.run(wish.desired())
    said, did = ([str(each) for each in actions if each.verb not in PASSING] for actions in (printed, done))
    if not down and not any(each.when for each in printed):
        assert did == said
    else:  # what was announced as possible, or started by the supervisor, is what may be missing
        assert {each.split(":")[0] for each in did} <= {each.split(":")[0].partition(" if ")[0] for each in said}
    assert Counter(shop.supervisor.did) == _effects(done)
    after = await shop.plan(wish.desired())
    assert {each.verb for each in after} == {"keep"}, [str(each) for each in after]
    copies = Counter(process.owner for process in shop.supervisor.running.values() if process.kind == "workload")
    assert copies == {"hello": wish.replicas, "gateway": 1, "keeper": 1}
