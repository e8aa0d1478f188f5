"""What plugin authors are given: the contract suite finds what is wrong, the target in memory behaves like one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, Handoff, SecretFile, ServerFile, ServiceHandoff, Value
from stepflow.playbook import Feature, Playbook, Settings, StepInput
from stepflow.targets.contract import Desired
from stepflow.testing import FakeTarget, PlaybookContract, example_of
from stepflow.workload import Declaration, HttpProbe, Server, Workload

PROBE = HttpProbe("/health/ready")


class Good(Playbook):
    """Holds to the contract; what breaks one of its promises derives from it."""

    name = "good"
    summary = "Does good."

    def declare(self, step: StepInput) -> Declaration:
        """Want nothing."""
        del step
        return Declaration()


class Writes(Good):
    def render(self, step: StepInput) -> Mapping[str, bytes]:
        del step
        Path("trace").write_bytes(b"")
        return {}


class Changes(Good):
    count: ClassVar[int] = 0

    def render(self, step: StepInput) -> Mapping[str, bytes]:
        del step
        Changes.count += 1
        return {"f": str(Changes.count).encode()}


class Escapes(Good):
    def render(self, step: StepInput) -> Mapping[str, bytes]:
        del step
        return {"../f": b""}


class Dangles(Good):
    def declare(self, step: StepInput) -> Declaration:
        del step
        env: dict[str, Value] = {
            "A": Endpoint("nobody"),
            "B": DataDir("d"),
            "C": ConfigFile("c"),
            "D": ServerFile("nats"),
        }
        return Declaration((Workload("w", ("python",), PROBE, env=env, needs=("x",)),))


class Silent(Good):
    def handoff(self, step: StepInput) -> Handoff:
        del step
        return Handoff()


class Size(Settings):
    size: int


class Undescribed(Good):
    settings = Size


class Overlaps(Good):
    features = (Feature("a", ("e-mail",), "a"), Feature("b", ("email", "e-mail"), "b"))


class Suite(PlaybookContract):
    """The suite, for whatever playbook it is made with."""

    def __init__(self, kind: type[Playbook]) -> None:
        self.kind = kind

    def playbook(self) -> Playbook:
        return self.kind()


def test_a_playbook_that_keeps_its_promises_passes(tmp_path: Path) -> None:
    suite = Suite(Good)
    tests = [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]
    assert len(tests) == 11
    for test in tests:
        test(tmp_path) if "tmp_path" in test.__annotations__ else test()


@pytest.mark.parametrize(
    ("kind", "test", "said"),
    [
        (Writes, "its_methods_are_pure", "it touched the world outside: .*trace"),
        (Changes, "its_methods_are_pure", "two calls with the features .* differ"),
        (Undescribed, "settings_are_described_and_have_defaults", "setting `size` has no description"),
        (Overlaps, "feature_words_do_not_overlap", "names both `a` and `b`"),
        (Dangles, "its_references_lead_somewhere", "names a workload that is not declared"),
        (Dangles, "its_references_lead_somewhere", "`DataDir.'d'.` is not in its `data`"),
        (Dangles, "its_references_lead_somewhere", "needs `x`, which is not declared"),
        (Silent, "its_handoff_round_trips_through_json", "does not carry the step's `delivers`"),
    ],
)
def test_a_broken_promise_is_said(
    kind: type[Playbook], test: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=said):
        getattr(Suite(kind), f"test_{test}")()


def test_a_path_outside_of_the_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="would be written outside of"):
        Suite(Escapes).test_it_renders_inside_the_root(tmp_path)


async def test_what_is_applied_is_ready_once_and_made_again_only_when_it_differs() -> None:
    target = FakeTarget()
    waited: list[str] = []
    second = Workload("second", ("python",), PROBE, replicas=2, needs=("first",))
    declaration = Declaration((second, Workload("first", ("python",), PROBE)), (Server("nats"),))
    for digest in ("a", "a", "b"):
        await target.apply(
            Desired(declaration, {"second": digest}), lambda progress: waited.append(progress.waiting_for)
        )
    assert target.applied == {"nats": 1, "first": 1, "second": 2}
    assert waited == [f"`{name}` to be ready" for name in ("nats", "first", "second", "second")]
    assert (await target.observe())["second"].ready == 2
    live = target.live()
    assert live.url(Endpoint("first", path="/x")) == "http://first.fake.invalid:8000/x"
    await live.kill(live.instances("first")[0])
    assert (await target.observe())["first"].state == "stopped"
    with pytest.raises(PermanentError, match="there is no port `admin` of a workload `first`"):
        live.url(Endpoint("first", "admin"))
    assert [line async for line in target.logs("second", tail=1)] == ["second is ready"]
    assert await target.remove({"first"}) == ("first",)
    assert await target.remove() == ("nats", "second")


async def test_a_target_that_is_told_to_fail_does_so_as_often_as_told() -> None:
    target = FakeTarget()
    target.fail("nats", TemporaryError("busy"), PermanentError("broken"))
    declaration = Declaration(servers=(Server("nats"),))
    for error in (TemporaryError, PermanentError):
        with pytest.raises(error):
            await target.apply(Desired(declaration), lambda _: None)
    await target.apply(Desired(declaration), lambda _: None)
    assert target.applied == {"nats": 1}


async def test_workloads_that_need_each_other_are_refused() -> None:
    ring = tuple(Workload(a, ("python",), PROBE, needs=(b,)) for a, b in (("x", "y"), ("y", "x")))
    with pytest.raises(PermanentError, match="dependency cycle: x → y → x"):
        await FakeTarget().apply(Desired(Declaration(ring)), lambda _: None)


def test_an_example_of_a_model_has_a_value_for_everything_that_is_required() -> None:
    class Inner(BaseModel):
        words: list[str]
        maybe: int | None

    class Outer(BaseModel):
        inner: Inner
        secret: SecretFile
        share: float = Field(description="how much")

    made = example_of(Outer)
    assert (made.inner.words, made.inner.maybe, made.secret.name, made.share) == ([], 1, "example", 1.0)
    assert example_of(ServiceHandoff).endpoint == Endpoint("example")
