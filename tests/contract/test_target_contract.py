"""What every target does, whatever it runs things on; the names of the tests are the promises."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ledger import PROVIDER
from onenode_fixtures import SOME_CLUSTER
from scans import CountedEnv

from stepflow.errors import PermanentError
from stepflow.handoff import DataDir, Endpoint, SecretFile
from stepflow.render import write_tree
from stepflow.targets import open_target, opened
from stepflow.targets.contract import Desired, Observed, Site, Target
from stepflow.testing import FakeTarget
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

HELLO = Path(__file__).parents[1] / "data" / "hello"


@dataclass
class Bench:
    """A target with an empty platform."""

    target: Target
    out: Path

    def hello(self, name: str = "hello", **changes: Any) -> Workload:  # noqa: ANN401 - whatever a Workload takes
        shutil.copytree(HELLO, self.out / name, dirs_exist_ok=True)
        return Workload(name, ("python", "-m", "service"), HttpProbe("/", deadline=90), context=name, **changes)

    async def apply(self, *workloads: Workload, servers: tuple[Server, ...] = (), digest: str = "1") -> list[str]:
        said: list[str] = []
        declaration = Declaration(workloads, servers)
        digests = dict.fromkeys((workload.name for workload in workloads), digest)
        await self.target.apply(Desired(declaration, digests), lambda progress: said.append(progress.waiting_for))
        return said

    async def answer(self, name: str, path: str = "/") -> str:
        async with httpx2.AsyncClient() as client:
            return (await client.get(self.target.live().url(Endpoint(name, path=path)))).text

    async def observed(self, name: str = "hello") -> Observed:
        return (await self.target.observe())[name]


HERE = (
    pytest.param("local", marks=pytest.mark.platform),
    pytest.param("docker", marks=pytest.mark.docker),
)
REAL = (*HERE, pytest.param("kubernetes", marks=SOME_CLUSTER))
here = pytest.mark.parametrize("bench", HERE, indirect=True)
"""For what concerns the ports of this machine."""
real = pytest.mark.parametrize("bench", REAL, indirect=True)
"""For what a target in memory cannot show."""


@pytest.fixture(params=["fake", "ledger", *REAL])
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """Each kind of target in turn."""
    out = tmp_path / "out"
    out.mkdir()
    options: dict[str, str] = {}
    if request.param == "kubernetes":
        cluster = request.getfixturevalue("some_cluster")
        options["context"] = cluster.context
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
    site = Site("contract", tmp_path / "state", out, options)
    target = _opened(request.param, site)
    yield Bench(target, out)
    await target.remove(None, data=True)
    assert await target.observe() == {}


def _opened(name: str, site: Site) -> Target:
    match name:
        case "fake":
            return FakeTarget(out=site.out)
        case "ledger":
            return opened(PROVIDER, site)
        case _:
            return open_target(name, site)


async def test_a_platform_that_does_not_exist_is_observed_as_nothing(bench: Bench) -> None:
    assert await bench.target.observe() == {}
    assert await bench.target.remove(None) == ()


async def test_what_was_applied_is_ready_with_its_digest_and_its_copies(bench: Bench) -> None:
    await bench.apply(bench.hello(replicas=2), digest="abc")
    seen = await bench.observed()
    assert (seen.name, seen.kind, seen.state, seen.digest) == ("hello", "workload", "ready", "abc")
    assert (seen.replicas, seen.ready, len(set(seen.handles))) == (2, 2, 2)
    assert seen.url.startswith("http://")


async def test_what_a_workload_refers_to_is_looked_for_once(bench: Bench) -> None:
    env = CountedEnv({"TOKEN_FILE": SecretFile("token")})
    await bench.apply(bench.hello(env=env))
    assert env.scans == 1


async def test_a_server_is_provided_once_and_is_observed_as_one(bench: Bench) -> None:
    await bench.apply(servers=(Server("nats"), Server("nats")))
    seen = await bench.observed("nats")
    assert (seen.kind, seen.state) == ("server", "ready")
    assert seen.ready == seen.replicas == len(set(seen.handles))


async def test_applying_the_same_again_changes_nothing(bench: Bench) -> None:
    hello = bench.hello()
    await bench.apply(hello, servers=(Server("nats"),))
    before = await bench.target.observe()
    await bench.apply(hello, servers=(Server("nats"),))
    after = await bench.target.observe()
    assert {n: (s.handles, s.url, s.restarts) for n, s in after.items()} == {
        n: (s.handles, s.url, s.restarts) for n, s in before.items()
    }


async def test_another_digest_is_put_in_place_of_the_old_one(bench: Bench) -> None:
    for digest in ("1", "2"):
        await bench.apply(bench.hello(), digest=digest)
        seen = await bench.observed()
        assert (seen.digest, seen.state, seen.ready) == (digest, "ready", 1)


async def test_another_number_of_copies_is_reached_in_both_directions_and_none_that_stays_is_replaced(
    bench: Bench,
) -> None:
    before: set[str] = set()
    for count in (1, 2, 1):
        await bench.apply(bench.hello(replicas=count))
        seen = await bench.observed()
        assert (seen.replicas, seen.ready, len(seen.handles)) == (count, count, count)
        assert len(before & set(seen.handles)) == min(len(before), count)
        before = set(seen.handles)


async def test_what_is_removed_is_printed_before_and_then_there_is_nothing_to_remove(bench: Bench) -> None:
    await bench.apply(bench.hello("one", replicas=2), bench.hello("two"), servers=(Server("nats"),))
    causes = {"one": "its step is gone", "nats": "no step needs it", "unknown": "it never was"}
    printed = bench.target.removals(causes, await bench.target.observe())
    assert {each.verb for each in printed} == {"remove"}
    assert {each.owner: each.cause for each in printed} == {name: causes[name] for name in ("one", "nats")}
    assert len({each.name for each in printed}) == len(printed)
    assert sorted(await bench.target.remove([*causes])) == ["nats", "one"]
    assert bench.target.removals(causes, await bench.target.observe()) == ()
    assert set(await bench.target.observe()) == {"two"}


async def test_a_second_declaration_adds_to_the_first(bench: Bench) -> None:
    await bench.apply(bench.hello("one"))
    await bench.apply(bench.hello("two", needs=("one",)))
    assert {name: seen.state for name, seen in (await bench.target.observe()).items()} == {
        "one": "ready",
        "two": "ready",
    }


async def test_what_describes_the_platform_is_pure_and_stays_inside_the_rendered_tree(bench: Bench) -> None:
    await bench.target.require()
    declarations = (Declaration((bench.hello("one"),), (Server("nats"),)), Declaration((bench.hello("two"),)))
    before = sorted(bench.out.rglob("*"))
    described = bench.target.documents(declarations)
    assert described == bench.target.documents(declarations)
    assert (sorted(bench.out.rglob("*")), await bench.target.observe()) == (before, {})
    assert sorted(write_tree(bench.out, described, {}).created) == sorted(described)


async def test_progress_names_what_is_waited_for(bench: Bench) -> None:
    assert any("hello" in each for each in await bench.apply(bench.hello()))


async def test_a_dependency_cycle_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(PermanentError, match="dependency cycle: one → two → one"):
        await bench.apply(bench.hello("one", needs=("two",)), bench.hello("two", needs=("one",)))


async def test_removing_one_workload_leaves_the_others_and_says_what_went(bench: Bench) -> None:
    await bench.apply(bench.hello("one"), bench.hello("two"))
    assert await bench.target.remove(["one", "unknown"]) == ("one",)
    assert list(await bench.target.observe()) == ["two"]
    assert (await bench.observed("two")).state == "ready"


async def test_removing_everything_says_what_went_and_leaves_nothing(bench: Bench) -> None:
    await bench.apply(bench.hello(), servers=(Server("nats"),))
    assert sorted(await bench.target.remove(None)) == ["hello", "nats"]
    assert await bench.target.observe() == {}
    assert await bench.target.remove(None) == ()


async def test_an_address_is_resolved_with_its_path_and_an_unknown_workload_is_refused(bench: Bench) -> None:
    await bench.apply(bench.hello())
    live = bench.target.live()
    assert live.url(Endpoint("hello", path="/x")) == f"{(await bench.observed()).url}/x"
    assert live.out == bench.out
    with pytest.raises(PermanentError, match=r"there is no .*`nobody`"):
        live.url(Endpoint("nobody"))


async def test_a_secret_stays_what_it_is(bench: Bench) -> None:
    await bench.apply(bench.hello(env={"ONE_FILE": SecretFile("admin"), "TWO_FILE": SecretFile("other")}))
    first = bench.target.live().secret(SecretFile("admin"))
    assert first
    assert bench.target.live().secret(SecretFile("admin")) == first
    assert bench.target.live().secret(SecretFile("other")) != first


async def test_copies_are_listed_and_a_killed_one_is_no_longer_ready_as_it_was(bench: Bench) -> None:
    await bench.apply(bench.hello())
    live = bench.target.live()
    [copy] = live.instances("hello")
    assert (copy.workload, copy.state) == ("hello", "ready")
    await live.kill(copy)
    assert copy not in bench.target.live().instances("hello") or (await bench.observed()).state != "ready"
    assert live.instances("nobody") == ()


async def test_a_log_gives_its_last_lines(bench: Bench) -> None:
    await bench.apply(bench.hello())
    lines = [line async for line in bench.target.logs("hello", tail=1)]
    assert len(lines) == 1
    assert "hello" in lines[0]


@pytest.mark.parametrize("bench", [each for each in REAL if "docker" not in each.values], indirect=True)
async def test_a_followed_log_goes_on_with_the_copy_that_takes_over(bench: Bench) -> None:
    await bench.apply(bench.hello())
    async with aclosing(bench.target.logs("hello", follow=True, tail=1)) as lines:
        assert "hello" in await anext(lines)
        [copy] = bench.target.live().instances("hello")
        await bench.target.live().kill(copy)
        async with asyncio.timeout(90):
            while "hello" not in await anext(lines):
                pass


async def test_steps_that_want_the_same_server_at_the_same_time_get_one(bench: Bench) -> None:
    nats = (Server("nats"),)
    await asyncio.gather(bench.apply(bench.hello("one"), servers=nats), bench.apply(bench.hello("two"), servers=nats))
    seen = dict(await bench.target.observe())
    server = seen.pop("nats")
    assert (server.state, server.ready, len(set(server.handles))) == ("ready", server.replicas, server.replicas)
    assert {name: (each.state, each.replicas) for name, each in seen.items()} == {
        "one": ("ready", 1),
        "two": ("ready", 1),
    }


async def test_while_a_copy_is_replaced_one_is_always_ready(bench: Bench) -> None:
    await bench.apply(bench.hello(), digest="1")
    live, counts = bench.target.live(), []
    replacing = asyncio.create_task(bench.apply(bench.hello(), digest="2"))
    while not replacing.done():
        counts.append(sum(copy.state == "ready" for copy in live.instances("hello")))
        await asyncio.sleep(0.02)
    await replacing
    assert min(counts) >= 1
    assert (await bench.observed()).digest == "2"


@real
async def test_a_killed_copy_comes_back_by_itself(bench: Bench) -> None:
    await bench.apply(bench.hello())
    [copy] = bench.target.live().instances("hello")
    await bench.target.live().kill(copy)
    async with asyncio.timeout(90):
        while (await bench.observed()).state != "ready":  # noqa: ASYNC110 - other processes decide
            await asyncio.sleep(0.1)
    assert await bench.answer("hello") in {each.name for each in bench.target.live().instances("hello")}


@real
async def test_a_copy_that_ends_while_it_starts_fails_at_once_with_what_it_wrote_last(bench: Bench) -> None:
    patient = HttpProbe("/", deadline=600)  # longer than a test may take
    with pytest.raises(PermanentError) as caught:
        await bench.apply(replace(bench.hello(env={"EXIT": "3"}), ready=patient))
    assert re.search(r"`hello-[-0-9a-z]+` exited with code 3", caught.value.message)
    assert "cannot go on: the moon is in the wrong phase" in caught.value.message
    assert "`stepflow logs hello` shows all of it" in caught.value.hint
    assert (await bench.observed()).state == "failed"


@real
async def test_what_failed_is_repaired_by_applying_what_is_right(bench: Bench) -> None:
    with pytest.raises(PermanentError):
        await bench.apply(bench.hello(env={"EXIT": "3"}))
    await bench.apply(bench.hello(), digest="2")
    seen = await bench.observed()
    assert (seen.state, seen.digest, seen.ready) == ("ready", "2", 1)


@real
async def test_a_copy_that_does_not_get_ready_in_time_fails_with_the_last_answer(bench: Bench) -> None:
    for deadline in (4, 16, 64):  # on a busy machine it does not answer at all for a while
        never = HttpProbe("/never", deadline=deadline)
        with pytest.raises(PermanentError) as caught:
            await bench.apply(replace(bench.hello(env={"LIVE_FILE": "/none"}), ready=never), digest=str(deadline))
        if "/never answers 503" in caught.value.message:
            break
    assert re.search(rf"`hello-[-0-9a-z]+` is not ready after {deadline} s; ", caught.value.message)
    assert "/never answers 503" in caught.value.message


@here
async def test_a_published_port_that_is_taken_is_replaced_by_the_next_and_it_is_said_who_has_it(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wish = taken.getsockname()[1]
        said = await bench.apply(bench.hello(ports=(Port(number=wish, published=True),)))
    seen = await bench.observed()
    assert seen.state == "ready"
    assert not seen.url.endswith(f":{wish}")
    assert any(f"port {wish} is taken" in each and f"pid {os.getpid()}" in each for each in said)


@here
async def test_a_published_port_stays_when_the_workload_is_replaced(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        wish = free.getsockname()[1]
    addresses = []
    for digest in ("1", "2"):
        await bench.apply(bench.hello(ports=(Port(number=wish, published=True),)), digest=digest)
        addresses.append((await bench.observed()).url)
    assert addresses == [f"http://127.0.0.1:{wish}"] * 2


@real
async def test_data_outlives_everything_but_being_removed_with_it(bench: Bench) -> None:
    keeper = bench.hello(data=("kept",), env={"LIVE_FILE": DataDir("kept"), "ADMIN_FILE": SecretFile("admin")})
    await bench.apply(keeper)
    first = bench.target.live().secret(SecretFile("admin"))
    await bench.target.remove(None)
    assert bench.target.live().secret(SecretFile("admin")) == first
    await bench.apply(keeper)
    assert (await bench.observed()).state == "ready"
