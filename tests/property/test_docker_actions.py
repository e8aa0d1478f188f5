"""What a plan prints is what a run does on a Docker engine, from any state; after it there is nothing left to do."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_model import ModelEngine, Raw
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Site
from stepflow.targets.docker.container import Volume
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.reconcile import Change, PlatformNetwork
from stepflow.targets.docker.target import DockerTarget
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

PORT = 8080
NAMES = ("hello-1", "hello-2", "hello-3", "gateway-1", "keeper-1", "nats", "postgres", "database-orders")


@dataclass(frozen=True)
class Wish:
    """What a document may ask for."""

    replicas: int = 2
    digest: str = "1"
    variable: str = "a"
    published: bool = True

    def desired(self) -> Desired:
        probe, command = HttpProbe("/", deadline=0.02), ("python", "-m", "service")
        env: dict[str, Any] = {
            "GATEWAY": Endpoint("gateway", part="public") if self.published else "nowhere",
            "KEY_FILE": SecretFile("key"),
            "NATS_FILE": ServerFile("nats"),
            "VARIABLE": self.variable,
        }
        hello = Workload("hello", command, probe, context="hello", env=env, replicas=self.replicas, needs=("gateway",))
        ports = (Port(number=PORT, published=self.published),)
        gateway = Workload("gateway", command, probe, context="gateway", ports=ports)
        keeper = Workload("keeper", command, probe, context="hello", env={"DIR": DataDir("kept")})
        servers = (Server("nats"), Server("postgres", "orders"))
        digests = {"hello": self.digest, "gateway": "1", "keeper": self.digest}
        return Desired(Declaration((hello, gateway, keeper), servers), digests)


class Bench:
    """A platform on an engine in memory."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.engine = ModelEngine()
        self.engine.stand_in(patch)
        patch.setattr("stepflow.targets.docker.target.Engine", lambda: self.engine)
        self.site = Site("shop", root / "state", root / "out")
        self.target = DockerTarget(self.site)

    @property
    def who(self) -> DockerIdentity:
        return DockerIdentity.of(self.site)

    async def planned(self, wish: Wish) -> tuple[Action, ...]:
        return self.target.reconcile(wish.desired(), await self.target.observe())

    async def applied(self, wish: Wish) -> tuple[Action, ...]:
        self.engine.api.calls.clear()
        return await self.target.apply(wish.desired(), lambda _: None)

    def copy(self, name: str) -> Raw | None:
        full = f"/{self.who.container(name)}"
        return next((each for each in self.engine.api.containers_.values() if each["Name"] == full), None)


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        yield Bench(Path(folder), patch)


def _gone(bench: Bench, copy: Raw) -> None:
    del bench.engine.api.containers_[copy["Id"]]


def _exited(bench: Bench, copy: Raw) -> None:
    bench.engine.api.end(copy["Name"][1:], 3)


def _paused(bench: Bench, copy: Raw) -> None:
    if copy["State"]["Status"] == "running" and copy["Id"] not in bench.engine.api.hung:
        copy["State"]["Status"] = "paused"


def _hung(bench: Bench, copy: Raw) -> None:
    workload = copy["Config"]["Labels"]["dev.stepflow.kind"] == "workload"  # a server is waited for a minute
    proven = copy["HostConfig"]["RestartPolicy"]["Name"] == "always"  # only such a one is restarted
    if workload and proven and copy["State"]["Status"] == "running":
        bench.engine.api.hung.add(copy["Id"])


def _half_made(bench: Bench, copy: Raw) -> None:
    del bench
    copy["State"]["Status"] = "created"
    copy["NetworkSettings"]["Ports"] = {}


def _squeezed(bench: Bench, copy: Raw) -> None:
    del bench
    copy["HostConfig"] |= {"Memory": 1024**2, "PidsLimit": 3}


def _unproven(bench: Bench, copy: Raw) -> None:
    if copy["Id"] not in bench.engine.api.hung:
        copy["HostConfig"]["RestartPolicy"] = {"Name": "no"}


def _disconnected(bench: Bench, copy: Raw) -> None:
    del bench
    copy["NetworkSettings"]["Networks"] = {}


def _opened(bench: Bench, copy: Raw) -> None:
    del bench
    copy["HostConfig"]["Privileged"] = True


def _told_otherwise(bench: Bench, copy: Raw) -> None:
    del bench
    copy["Config"]["Env"] = ["PATH=/home/me/bin", *copy["Config"]["Env"][1:], "EVIL=1"]


def _spoilt(bench: Bench, copy: Raw) -> None:
    del bench
    copy["Config"]["Labels"]["dev.stepflow.care"] = "{"


def _renamed(bench: Bench, copy: Raw) -> None:
    del bench
    copy["Name"] = f"/old-{copy['Id']}"


def _lost_data(bench: Bench, copy: Raw) -> None:
    name = copy["Config"]["Labels"]["dev.stepflow.name"]
    if bench.engine.api.volumes_.pop(bench.who.volume(name), None):
        _gone(bench, copy)


def _untagged(bench: Bench, copy: Raw) -> None:
    bench.engine.api.images_ = [each for each in bench.engine.api.images_ if each["Id"] != copy["Image"]]


def _port_taken(bench: Bench, copy: Raw) -> None:
    if copy["Config"]["Labels"]["dev.stepflow.name"] == "gateway":
        _exited(bench, copy)
        bench.engine.api.taken.add(PORT)


def _network_gone(bench: Bench, copy: Raw) -> None:
    del copy
    bench.engine.api.networks_.clear()


def _moved_tag(bench: Bench, copy: Raw) -> None:
    del copy
    tags = [tag for each in bench.engine.api.images_ for tag in each["RepoTags"] if tag.startswith("nats:")]
    bench.engine.api.have_image(tags, [])


def _secret_lost(bench: Bench, copy: Raw) -> None:
    del copy
    (bench.who.secrets / "key").unlink(missing_ok=True)


HARMS: tuple[Callable[[Bench, Raw], None], ...] = (
    _gone, _exited, _paused, _hung, _half_made, _squeezed, _unproven, _disconnected, _opened, _told_otherwise, _spoilt,
    _renamed, _lost_data, _untagged, _port_taken, _network_gone, _moved_tag, _secret_lost,
)  # fmt: skip
WISHES = st.builds(Wish, st.integers(1, 3), st.sampled_from(["1", "2"]), st.sampled_from(["a", "b"]), st.booleans())
STATES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(HARMS)), max_size=4)


def expected(action: Action, who: DockerIdentity, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the calls that an action stands for; `names` are what the model calls containers, by their ids."""
    if isinstance(action.subject, PlatformNetwork):
        return [("create network", who.prefix)]
    if isinstance(action.subject, Volume):
        return [("create volume", who.volume(action.subject.name))]
    if action.verb in {"pull", "build"}:
        return [(action.verb, action.name)]
    if isinstance(action.subject, str):
        return [("remove image", action.subject)]
    change: Change = action.subject
    old, setup = change.old, change.filled.container.kind == "setup"
    policy = [] if setup or (old and old.policy == "always") else [("policy", action.name)]
    limits = [("limits", action.name)] if change.limits else []
    container = change.filled.container
    folders = [each for each in container.volumes if each.folder]
    files = [("files", action.name)] * (bool(container.files) + len(folders))
    born = [("create", action.name), *files, ("start", action.name), *([] if setup else [("policy", action.name)])]
    its = names[old.id] if old else ""
    gone = [*([("stop", its)] if old.up else []), ("remove", its)] if old else []
    again = [("restart", action.name)] if change.restart else []
    stands_for: dict[str, list[tuple[str, str]]] = {
        "keep": [],
        "wait": [*again, *policy],
        "start": [("unpause" if old and old.condition == "paused" else "start", action.name), *limits, *policy],
        "change": [*limits, *again, *policy],
        "create": born,
        "replace": [*born, *gone],
        "remove": gone,
    }
    return stands_for[action.verb]


def _doing(actions: tuple[Action, ...]) -> dict[tuple[str, str], Action]:
    return {(each.verb, each.name): each for each in actions if each.verb != "keep"}


async def _holds(before: Wish | None, harms: list[tuple[str, Callable[[Bench, Raw], None]]], wish: Wish) -> None:
    with bench() as made:
        if before:
            await made.applied(before)
            for name, harm in harms:
                if copy := made.copy(name):
                    harm(made, copy)
        made.engine.sources["hello"] = int(wish.digest)
        planned = _doing(await made.planned(wish))
        secrets = sorted(made.site.state.glob("secrets/*"))
        assert planned.keys() == _doing(await made.planned(wish)).keys()
        assert sorted(made.site.state.glob("secrets/*")) == secrets, "a plan creates no secret"
        names = {number: made.engine.api.called(each) for number, each in made.engine.api.containers_.items()}
        executed = await made.applied(wish)
        done = _doing(executed)
        assert done.keys() <= planned.keys()
        assert {key for key, each in planned.items() if not each.when} <= done.keys()
        calls = Counter(call for each in executed for call in expected(each, made.who, names))
        refused = {call for call in calls if call[0] == "remove image"}  # shared, and still used by another copy
        assert Counter(made.engine.api.calls) - calls == Counter()
        assert calls - Counter(made.engine.api.calls) <= Counter(refused)
        assert {str(each) for each in await made.planned(wish) if each.verb != "keep"} == set()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(before=Wish(1), harms=[("hello-1", _spoilt), ("hello-1", _renamed)], wish=Wish(1))
@given(before=st.none() | WISHES, harms=STATES, wish=WISHES)
def test_a_plan_is_what_the_run_does_and_after_it_all_is_kept(
    before: Wish | None, harms: list[tuple[str, Callable[[Bench, Raw], None]]], wish: Wish
) -> None:
    asyncio.run(_holds(before, harms, wish))


def test_what_is_removed_is_printed_copy_by_copy_and_is_all_that_is_removed() -> None:
    async def holds() -> None:
        with bench() as made:
            await made.applied(Wish())
            causes = {"hello": "its step is gone", "nats": "no step needs it"}
            planned = made.target.removals(causes, await made.target.observe())
            assert [str(each) for each in planned] == [
                "remove   hello-1: its step is gone",
                "remove   hello-2: its step is gone",
                "remove   nats: no step needs it",
            ]
            made.engine.api.calls.clear()
            assert await made.target.remove(causes) == ("hello", "nats")
            assert made.engine.api.calls == [(did, each.name) for each in planned for did in ("stop", "remove")]
            assert {*await made.target.observe()} == {"gateway", "keeper", "postgres"}

    asyncio.run(holds())


@pytest.mark.parametrize("label", ["care", "number", "meaning", "kind"])
def test_what_has_a_label_that_cannot_be_read_is_replaced_by_a_run_and_removed_like_any_other(label: str) -> None:
    async def spoil() -> None:
        await made.applied(Wish())
        for name in ("hello-1", "nats"):
            copy = made.copy(name) or made.copy("hello-3")
            assert copy
            copy["Config"]["Labels"][f"dev.stepflow.{label}"] = "?"

    async def holds() -> None:
        await spoil()
        planned = {str(each) for each in await made.planned(Wish()) if each.verb == "replace"}
        assert {
            "replace  nats: its labels cannot be read",
            "replace  hello-1 with hello-3: its labels cannot be read",
        } <= planned
        await made.applied(Wish())
        assert {each.verb for each in await made.planned(Wish())} == {"keep"}
        await spoil()
        assert await made.target.remove({"hello": "", "nats": ""}) == ("hello", "nats")
        assert {*await made.target.observe()} == {"gateway", "keeper", "postgres"}

    with bench() as made:
        asyncio.run(holds())


def test_a_port_that_people_use_keeps_its_number_though_the_labels_cannot_be_read() -> None:
    async def holds() -> None:
        with bench() as made:
            made.engine.api.taken.add(PORT)
            await made.applied(Wish())
            made.engine.api.taken.clear()
            gateway = made.copy("gateway-1")
            assert gateway
            gateway["Config"]["Labels"]["dev.stepflow.care"] = "?"
            changes = {str(each) for each in await made.planned(Wish()) if each.verb != "keep"}
            assert changes == {"replace  gateway-1: its labels cannot be read"}
            await made.applied(Wish())
            assert made.target.live().url(Endpoint("gateway")) == f"http://127.0.0.1:{PORT + 1}"

    asyncio.run(holds())


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(["container", "network", "volume"]), wish=WISHES)
def test_what_is_foreign_is_said_by_the_plan_and_by_the_run_and_not_touched(kind: str, wish: Wish) -> None:
    async def holds() -> None:
        with bench() as made:
            api, who = made.engine.api, made.who
            match kind:
                case "container":
                    name = who.container("nats")
                    raw: Raw = {
                        "Id": "foreign", "Name": f"/{name}", "Image": "", "Config": {"Labels": {}},
                        "State": {"Status": "exited"}, "NetworkSettings": {"Ports": {}},
                    }  # fmt: skip
                    api.containers_["foreign"] = raw
                case "network":
                    name = who.prefix
                    api.networks_[name] = {"Id": "foreign", "Name": name, "Labels": {}}
                case _:
                    name = who.volume("nats")
                    api.volumes_[name] = {"Name": name, "Labels": {}}
            said = f"there is a {kind} `{name}` on the engine that is not stepflow's"
            with pytest.raises(PermanentError, match=said):
                await made.planned(wish)
            with pytest.raises(PermanentError, match=said):
                await made.applied(wish)
            assert not [call for call in api.calls if call[1] in {"nats", name}]

    asyncio.run(holds())


def test_a_port_that_is_taken_at_the_last_moment_is_another_one_in_the_next_attempt() -> None:
    async def holds() -> None:
        with bench() as made:
            free = made.engine.free
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("stepflow.targets.docker.host_ports.free", lambda _: True)
                made.engine.api.taken.add(PORT)
                with pytest.raises(TemporaryError, match=f"port {PORT} of `gateway` was taken before it could listen"):
                    await made.applied(Wish())
            assert not free(PORT)
            await made.applied(Wish())
            assert made.target.live().url(Endpoint("gateway")) == f"http://127.0.0.1:{PORT + 1}"
            assert {each.verb for each in await made.planned(Wish())} == {"keep"}

    asyncio.run(holds())


def test_what_two_steps_at_the_same_time_need_is_created_by_one_and_counted_once() -> None:
    """Both find the network, the volume and the server missing; only one of them creates each."""

    async def scenario(bench: Bench) -> None:
        def step(name: str) -> Desired:
            workload = Workload(name, ("python",), HttpProbe("/", deadline=0.02), context=name)
            return Desired(Declaration((workload,), (Server("postgres"),)), {name: "1"})

        both = await asyncio.gather(*(bench.target.apply(step(name), lambda _: None) for name in ("a", "b")))
        done = [f"{each.verb} {each.name}" for actions in both for each in actions if each.verb != "keep"]
        assert sorted(done) == sorted(set(done))
        assert {"create platform network", "create volume postgres", "create postgres"} <= {*done}

    with bench() as made:
        asyncio.run(scenario(made))
