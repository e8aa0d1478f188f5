"""What a workload is made from, and what the step's job adds to its handoff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from stepflow.engine.desired import DesiredStep, desired_step, with_written
from stepflow.engine.disk import Drift
from stepflow.engine.meaning import fingerprint
from stepflow.engine.outside import Outside
from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, Handoff, JsonHandoff, ServiceHandoff
from stepflow.playbook import Playbook, Settings, StepInput
from stepflow.targets.contract import Option, Provider
from stepflow.testing import FakeTarget
from stepflow.workload import PRODUCTION, Declaration, HttpProbe, Job, Production, Server, Workload

WEB = Workload("web", ("python",), HttpProbe("/"), context="web")
ENVOY = Workload("envoy", ("envoy",), HttpProbe("/"))
TREE = {
    "web/app.py": b"1",
    "chassis/lib.py": b"1",
    "other/app.py": b"1",
    "web/tests/test_app.py": b"1",
    "web/README.md": b"1",
}
BASE = Option("base", "IMAGE", "", concerns=lambda _, workload: workload.context == "web")
STEP = StepInput(1, "T", "p", "", "shop", "fake", Settings(), frozenset())
PROVIDER = Provider("fake", lambda _: FakeTarget(), lambda _: (), options=(BASE,))


class Web(Playbook):
    """Renders and declares what it is given."""

    name = "web"
    summary = "A workload."

    def __init__(self, tree: Mapping[str, bytes], workloads: tuple[Workload, ...]) -> None:
        self.tree, self.workloads = tree, workloads

    def render(self, step: StepInput) -> Mapping[str, bytes]:
        del step
        return self.tree

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration(self.workloads, (Server("nats"),))


def desired(
    tree: Mapping[str, bytes] | None = None,
    *workloads: Workload,
    kept: Mapping[str, str] | None = None,
    **options: str,
) -> DesiredStep:
    playbook = Web(TREE | (tree or {}), workloads or (WEB, ENVOY))
    return desired_step(playbook, STEP, lambda _: Drift(kept=kept or {}), {}, provider=PROVIDER, options=options)


@pytest.mark.parametrize("path", ["web/app.py", "web/new.py", "chassis/lib.py"])
def test_workload_is_made_from_the_files_of_its_folder_and_the_chassis(path: str) -> None:
    now = desired({path: b"2"}).digests
    assert now["web"] != desired().digests["web"]
    assert now["envoy"] == desired().digests["envoy"]  # it has no folder


@pytest.mark.parametrize(
    "path", ["other/app.py", "webs/app.py", "web/tests/test_app.py", "web/README.md", "web/a.rst", "web/a.txt", "a.md"]
)
def test_workload_is_not_made_from_other_files_its_tests_or_its_prose(path: str) -> None:
    assert desired({path: b"2"}).digests == desired().digests


def test_workload_is_made_from_a_file_as_the_user_edited_it() -> None:
    edited = desired(kept={"web/app.py": "mine"})
    assert edited.digests["web"] != desired().digests["web"]
    assert edited.components["edited:web/app.py"] == "mine"


def test_workload_is_another_one_by_what_it_declares_but_not_by_its_number_of_copies() -> None:
    several = Workload("web", ("python",), HttpProbe("/"), context="web", replicas=3)
    assert desired(None, several).digests["web"] == desired().digests["web"]
    assert desired(None, several).replicas == {"web": 3}
    other = Workload("web", ("python", "-m", "x"), HttpProbe("/"), context="web")
    assert desired(None, other).digests["web"] != desired().digests["web"]


def test_workload_is_another_one_with_an_option_that_concerns_it() -> None:
    with_option = desired(base="b:1")
    assert with_option.digests["web"] != desired().digests["web"]
    assert with_option.digests["envoy"] == desired().digests["envoy"]
    assert with_option.components["option:base"] == "b:1"


def test_digests_are_what_every_version_recorded() -> None:
    """Another way to make them would replace every workload of every platform."""
    assert desired().digests == {"web": "2a0ea5ba3b9ccea89fd3cf828ce681a4", "envoy": "f76859e3ed4189acdc942193919a04a9"}


class Wrong(Web):
    """Returns something else from one method."""

    def __init__(self, method: str, returned: object) -> None:
        super().__init__({}, ())
        setattr(self, method, lambda _: returned)


@pytest.mark.parametrize(
    ("method", "returned", "said"),
    [
        ("render", None, "`render()` returned None, not a `Mapping`"),
        ("declare", (), "`declare()` returned a `tuple`, not a `Declaration`"),
        ("handoff", "words", "`handoff()` returned a `str`, not a `Handoff`"),
    ],
)
def test_what_a_playbook_may_not_return_is_named(method: str, returned: object, said: str) -> None:
    with pytest.raises(TypeError) as wrong:
        desired_step(Wrong(method, returned), STEP, lambda _: Drift(), {}, provider=PROVIDER)
    assert str(wrong.value) == said


def test_declaration_that_cannot_work_is_blamed_on_the_playbook_and_its_step() -> None:
    with pytest.raises(PermanentError) as refused:
        desired(None, replace(WEB, replicas=0))
    fault = "`replicas` of the workload `web` is 0, not a number from 1"
    assert refused.value.message == f"the playbook `web` declares in step 1 what cannot work: {fault}"


class Maker(Web):
    """Hands off what its job makes."""

    def __init__(self, gives: type[Handoff]) -> None:
        super().__init__({}, ())
        self.gives = gives  # type: ignore[misc]

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration(jobs=(Job("make", ("true",), inputs=("in",), creates=("dist",)),))


def made(gives: type[Handoff] = JsonHandoff, written: object = None, **more: object) -> DesiredStep:
    return desired_step(Maker(gives), STEP, lambda _: Drift(), {}, written, provider=PROVIDER, **more)  # type: ignore[arg-type]


class Built(Handoff):
    image: str = ""


def test_what_a_job_wrote_in_its_last_run_is_part_of_the_handoff_where_it_still_fits() -> None:
    found = made(written={"image": "app:1"}, gives=Built)
    assert (found.handoff, found.own, found.outdated) == (Built(image="app:1"), Built(), "")
    found = made(written={"picture": "app:1"}, gives=Built)
    why = "what the job wrote to `$STEPFLOW_HANDOFF` is not a Built: `picture`: Extra inputs are not permitted"
    assert (found.handoff, found.own, found.outdated) == (Built(), Built(), why)


def test_contents_of_what_a_finished_job_creates_are_handed_off_and_of_what_it_reads_are_a_component(
    tmp_path: Path,
) -> None:
    for name in ("in", "dist"):
        (tmp_path / name).write_text(name)
    outside = Outside(tmp_path)
    first = made(outside=outside, done=True).handoff
    assert isinstance(first, JsonHandoff)
    assert first.creates.keys() == {"dist"}
    (tmp_path / "dist").write_text("another")
    assert made(outside=outside, done=True).handoff != first
    assert made(outside=outside).handoff == JsonHandoff()
    assert made(done=True).handoff == JsonHandoff()
    assert made(Built, outside=outside, done=True).handoff == Built()
    assert made(outside=outside).components.keys() - made().components.keys() == {"input:in"}


def test_files_that_stay_as_the_user_edited_them_are_known() -> None:
    drift = Drift(edited={"web/app.py": b"mine"})
    assert desired_step(Web(TREE, (WEB,)), STEP, lambda _: drift, {}, provider=PROVIDER).edited == drift.edited


def test_production_is_another_one_with_each_option_that_changes_it() -> None:
    production = Production((), (), ("web",), 1, 2, 70, automatic=True)
    options = tuple(Option(name, "X", "", production=True) for name in ("one", "two"))
    provider = Provider("fake", lambda _: FakeTarget(), lambda _: (), options=options)
    playbook = Wrong("declare", Declaration(production=production))
    chosen = {"one": "a", "two": "b"}
    found = desired_step(playbook, STEP, lambda _: Drift(), {}, provider=provider, options=chosen)
    assert found.digests == {PRODUCTION: fingerprint((production, "ab"))}


def test_what_a_job_wrote_stands_over_what_the_playbook_hands_off() -> None:
    assert with_written(JsonHandoff(values={"a": 1, "b": 1}), {"b": 2}) == JsonHandoff(values={"a": 1, "b": 2})
    assert with_written(Handoff(delivers="words"), None) == Handoff(delivers="words")


@pytest.mark.parametrize(("written", "shown"), [([1], "[1]"), ("x" * 100, '"' + "x" * 59), (7, "7")])
def test_what_a_job_wrote_that_is_not_an_object_is_refused(written: object, shown: str) -> None:
    with pytest.raises(PermanentError) as refused:
        with_written(JsonHandoff(), written)
    assert refused.value.message == f"the job wrote {shown} to `$STEPFLOW_HANDOFF`"
    assert refused.value.hint == "write one JSON object"


def test_what_a_job_wrote_that_does_not_fit_the_handoff_is_refused_with_its_place() -> None:
    service = ServiceHandoff(service="x", endpoint=Endpoint("x"))
    with pytest.raises(PermanentError) as refused:
        with_written(service, {"endpoint": {"workload": ["x"]}})
    what = "what the job wrote to `$STEPFLOW_HANDOFF` is not a ServiceHandoff"
    assert refused.value.message == f"{what}: `endpoint.workload`: Input should be a valid string"
