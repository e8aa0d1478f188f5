"""What a workload is made from, and what the step's job adds to its handoff."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stepflow.engine.desired import DesiredStep, desired_step, with_written
from stepflow.engine.disk import Drift
from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, Handoff, JsonHandoff, ServiceHandoff
from stepflow.playbook import Playbook, Settings, StepInput
from stepflow.targets.contract import Option, Provider
from stepflow.testing import FakeTarget
from stepflow.workload import Declaration, HttpProbe, Server, Workload

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
    step = StepInput(1, "T", "p", "", "shop", "fake", Settings(), frozenset())
    playbook = Web(TREE | (tree or {}), workloads or (WEB, ENVOY))
    return desired_step(playbook, step, lambda _: Drift(kept=kept or {}), {}, provider=PROVIDER, options=options)


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
