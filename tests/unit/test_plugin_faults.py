"""What a plugin raises or returns though it may not is blamed on it by name, and its traceback is in a report."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stepflow.blame import PluginError
from stepflow.cli import main
from stepflow.events import Notice, RunFinished, StepFinished
from stepflow.playbook import Check, Playbook, StepInput
from stepflow.registry import installed as playbooks
from stepflow.registry.plugins import _load
from stepflow.targets import installed
from stepflow.workload import CheckContext, Declaration

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

LIVE = "`target` and `out` and `url` and `secret` and `instances` and `kill`"
DOCUMENT = "# Lab\n\n## Step 1: a\n- Playbook: bad\n- Prompt: build it\n"


class Bad(Playbook):
    """Does nothing, but for one method."""

    name = "bad"
    summary = "Bad."

    def __init__(self, method: str, does: Callable[[StepInput], Any]) -> None:
        setattr(self, method, does)

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration()


def leaves(*_: object) -> object:
    sys.exit(3)


class GoneError(BaseException):
    """Not an `Exception`."""


def raises(*_: object) -> object:
    raise GoneError("far away")


@pytest.mark.parametrize(
    ("method", "does", "said"),
    [
        ("render", lambda _: None, "TypeError: `render()` returned None, not a `Mapping`"),
        ("render", lambda _: {"a.txt": "text"}, "TypeError: `render()['a.txt']` returned a `str`, not a `bytes`"),
        ("declare", lambda _: None, "TypeError: `declare()` returned None, not a `Declaration`"),
        ("handoff", lambda _: {}, "TypeError: `handoff()` returned a `dict`, not a `Handoff`"),
        ("render", leaves, "SystemExit: 3"),
        ("declare", raises, "GoneError: far away"),
        ("handoff", leaves, "SystemExit: 3"),
    ],
)
async def test_a_playbook_that_breaks_its_contract_is_named(
    lab: Lab, method: str, does: Callable[[StepInput], Any], said: str
) -> None:
    lab.playbooks = {"bad": Bad(method, does)}
    with pytest.raises(PluginError) as blamed:
        await lab.run(DOCUMENT)
    assert blamed.value.message == f"the playbook `bad` failed at step 1: {said}"
    assert blamed.value.hint == "it is a bug of the package that brings `bad`"


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (lambda _: None, "TypeError: `checks()` returned None, not a tuple of `Check`"),
        (lambda _: ("ping",), "TypeError: `checks()[0]` returned a `str`, not a `Check`"),
        (
            lambda _: (Check("ping", 5),),  # type: ignore[arg-type]
            "TypeError: the check `ping` has no timeout in seconds, or cannot be called",
        ),
        (leaves, "SystemExit: 3"),
    ],
)
async def test_checks_that_break_the_contract_fail_their_step_and_name_their_playbook(
    lab: Lab, does: Callable[[StepInput], Any], said: str
) -> None:
    lab.playbooks = {"bad": Bad("checks", does)}
    assert await lab.run(DOCUMENT) == "failed"
    failed = lab.said(StepFinished)[0]
    assert failed.error == f"the playbook `bad` failed at step 1: {said}"
    assert "Traceback (most recent call last):" in Path(failed.log).read_text("utf-8")  # noqa: ASYNC240 - a small file


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: sys.exit(3), "SystemExit: 3"),
        (lambda: None, "TypeError: `Check.run()` returned None, not a `str`"),
    ],
)
async def test_a_check_that_breaks_the_contract_names_its_playbook_in_a_step_and_in_a_journey(
    lab: Lab, answer: Callable[[], Any], said: str
) -> None:
    async def run(live: CheckContext) -> str:
        del live
        return answer()  # type: ignore[no-any-return]

    lab.playbooks = {"bad": Bad("checks", lambda _: (Check("ping", run),))}
    assert await lab.run(DOCUMENT) == "failed"
    blamed = f"the check itself failed, a bug of the playbook `bad`: {said}"
    assert lab.said(StepFinished)[0].error == f"check `ping` failed: {blamed}"
    lab.playbooks = {"bad": Bad("checks", lambda _: (Check("ping", run, when="run"),))}
    assert await lab.run(DOCUMENT) == "failed"
    assert lab.said(RunFinished)[0].outcomes[0].evidence == (blamed,)
    log = lab.folder / "state/logs/run2.log"
    assert [each.message for each in lab.said(Notice)] == [f"the report of check `ping` is `{log}`"]
    assert "Traceback (most recent call last):" in log.read_text("utf-8")


@pytest.mark.parametrize(
    ("method", "does", "said"),
    [
        ("observe", leaves, "SystemExit: 3"),
        ("reconcile", lambda *_: None, "TypeError: `reconcile()` returned None, not a tuple of `Action`"),
        ("reconcile", lambda *_: ("keep",), "TypeError: `reconcile()[0]` returned a `str`, not a `Action`"),
        ("live", object, "TypeError: `live()` returned a `object`, which lacks " + LIVE),
    ],
)
async def test_a_target_that_breaks_its_contract_is_named_and_no_playbook(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, method: str, does: Callable[..., Any], said: str
) -> None:
    monkeypatch.setattr(lab.target, method, does)
    with pytest.raises(PluginError) as blamed:
        await lab.run(lab.document("a"))
    assert blamed.value.message == f"the target `fake` failed in `{method}`: {said}"
    assert blamed.value.hint == "it is a bug of the package that brings `fake`"


async def test_a_target_that_fails_while_a_step_is_deployed_fails_the_step_and_not_the_engine(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(lab.target, "apply", nothing)
    assert await lab.run(lab.document("a")) == "failed"
    said = "the target `fake` failed in `apply`: TypeError: `apply()` returned None, not a tuple of `Action`"
    assert lab.said(StepFinished)[0].error == said


async def test_a_target_that_fails_beside_the_steps_ends_the_run_as_failed_and_is_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.target, "documents", leaves)
    assert await lab.run(lab.document("a")) == "failed"
    what = "the files that describe the platform could not be written"
    log = lab.folder / "state/logs/run1.log"
    said = f"{what}: the target `fake` failed in `documents`: SystemExit: 3; its report is `{log}`"
    assert [each.message for each in lab.said(Notice)] == [said]
    assert "SystemExit: 3" in log.read_text("utf-8")


async def test_what_a_target_shows_to_checks_is_blamed_on_it_and_not_on_the_playbook(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(live: CheckContext) -> str:
        return live.url("nowhere")  # type: ignore[arg-type]

    def broken(*_: object) -> str:
        raise KeyError("a")

    monkeypatch.setattr("stepflow.testing.target.FakeLive.url", broken)
    lab.world.extra = (Check("ping", run),)
    assert await lab.run(lab.document("a")) == "failed"
    said = "the target `fake` failed in `live().url`: KeyError: 'a'"
    assert lab.said(StepFinished)[0].error == f"check `ping` failed: {said}"


MOON = """
import sys
from pathlib import Path
from stepflow.playbook import Playbook
from stepflow.targets.contract import Finding, Option, Provider
from stepflow.testing import FakeTarget
from stepflow.workload import Declaration, HttpProbe, Workload

BROKEN = Path(__file__).with_name("broken")

def broken(what, usual):
    def does(*given, **named):
        if what in BROKEN.read_text().split():
            sys.exit(7)
        return usual(*given, **named)
    return does

OBSERVED = {}

def opened(site):
    made = FakeTarget(site.out, "moon", observed=OBSERVED)
    for name in ("observe", "require", "reconcile", "apply", "remove", "logs", "live", "documents"):
        setattr(made, name, broken(name, getattr(made, name)))
    return made

class Rocket(Playbook):
    name = "rocket"
    summary = "A rocket."
    declare = broken("declare", lambda *_: Declaration((Workload("rocket", ("python",), HttpProbe("/")),)))
    render = broken("render", lambda *_: {})
    handoff = broken("handoff", Playbook.handoff)
    checks = broken("checks", lambda *_: ())

PROVIDER = Provider(
    "moon", broken("open", opened), broken("doctor", lambda _: (Finding("moon", True, "full"),)),
    options=(
        Option("phase", "PHASE", "The phase.", read=broken("read", str), concerns=broken("concerns", lambda *_: True),
               meaning=broken("meaning", str), doctor=True),
    ),
)
"""
SHOP = "# Shop\n\n## Step 1: Front\n- Playbook: rocket\n- Prompt: go\n"
RUN = ("run", "shop.md", "--target", "moon", "--phase", "new")


@pytest.fixture
def moon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution `a-moon` with a target that fails in what the file `broken` names."""
    site = tmp_path / "site"
    info = site / "a_moon-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-moon\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[stepflow.targets]\nmoon = faulty_moon:PROVIDER\n[stepflow.playbooks]\nrocket = faulty_moon:Rocket\n", "utf-8"
    )
    (site / "faulty_moon.py").write_text(MOON, "utf-8")
    (site / "broken").write_text("", "utf-8")
    (tmp_path / "shop.md").write_text(SHOP, "utf-8")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "faulty_moon", raising=False)
    monkeypatch.chdir(tmp_path)
    for cached in (installed, playbooks, _load):
        cached.cache_clear()
    yield site / "broken"
    for cached in (installed, playbooks, _load):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("broken", "command", "where"),
    [
        ("read", RUN, "to read `--phase`"),
        ("open", RUN, "in `open`"),
        ("concerns", RUN, "to say what its options concern"),
        ("meaning", RUN, "to say what its options mean"),
        ("require", RUN, "in `require`"),
        ("live", RUN, "in `live`"),
        ("doctor", ("doctor", "--target", "moon"), "in `doctor`"),
        ("observe", ("plan", "shop.md", "--target", "moon"), "in `observe`"),
        ("observe", ("status",), "in `observe`"),
        ("logs", ("logs", "rocket"), "in `logs`"),
        ("remove", ("down",), "in `remove`"),
    ],
)
def test_a_target_of_another_distribution_is_named_with_it_by_every_command(
    moon: Path, capsys: pytest.CaptureFixture[str], broken: str, command: tuple[str, ...], where: str
) -> None:
    if command[0] in {"status", "logs", "down"}:
        assert main(RUN) == 0
    capsys.readouterr()
    moon.write_text(broken, "utf-8")
    assert main(command) == 1
    assert _error_with_report(capsys) == f"error: the target `moon` of `a-moon` failed {where}: SystemExit: 7"


@pytest.mark.parametrize("broken", ["declare", "render", "handoff"])
def test_a_playbook_of_another_distribution_is_named_with_it(
    moon: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    moon.write_text(broken, "utf-8")
    assert main(("plan", "shop.md", "--target", "moon")) == 1
    said = "error: the playbook `rocket` of `a-moon` failed at step 1: SystemExit: 7"
    assert _error_with_report(capsys) == said


def _error_with_report(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line of the error, once the report that the hint names is read."""
    error, hint = capsys.readouterr().err.splitlines()
    said = re.fullmatch(r"hint: it is a bug of `a-moon`; the report to send is `(.+)`", hint)
    assert said
    assert "SystemExit: 7" in Path(said[1]).read_text("utf-8")
    return error
