"""What fails in a playbook, a target or on the disk is a failure of its step, told in words; nothing is lost by it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stepflow.engine import Options, carry_out, runs
from stepflow.errors import PermanentError
from stepflow.events import Event, Notice, StepFinished
from stepflow.journal import Journal
from stepflow.render import Written, write_tree
from stepflow.targets.contract import Progress

if TYPE_CHECKING:
    from tests.unit.conftest import Lab


async def test_bug_in_a_playbook_is_blamed_on_it(lab: Lab) -> None:
    lab.world.template = "no bytes"  # type: ignore[assignment]
    with pytest.raises(PermanentError) as blamed:
        await lab.run(lab.document("a"))
    why = "TypeError: `render()['a/app.py']` returned a `str`, not a `bytes`"
    assert blamed.value.message == f"the playbook `service` failed at step 1: {why}"
    assert blamed.value.hint == "it is a bug of the package that brings `service`"


async def test_workload_that_could_not_be_started_is_blamed_on_its_playbook_before_anything_is_done(lab: Lab) -> None:
    lab.world.env = {"a": {"KEY": "x\0y"}}
    with pytest.raises(PermanentError) as blamed:
        await lab.run(lab.document("a"))
    assert blamed.value.message == (
        "the playbook `service` failed at step 1: ValueError: workload `a`: 'x\\x00y' in its variable `KEY` has a NUL "
        "character, which no process can be given"
    )
    assert blamed.value.hint == "it is a bug of the package that brings `service`"
    assert not (lab.folder / "out").exists()


async def test_error_inside_a_playbook_is_a_failed_step_with_the_traceback_in_its_log(lab: Lab) -> None:
    async def broken() -> str:
        raise KeyError("token")

    lab.world.answers["a up"] = broken
    assert await lab.run(lab.document("a")) == "failed"
    failed = lab.said(StepFinished)[0]
    blamed = "the check itself failed, a bug of the playbook `service`: KeyError: 'token'"
    assert failed.error == f"check `a up` failed: {blamed}"
    assert failed.hint == "it is a bug of the package that brings `service`"
    assert "Traceback (most recent call last):" in Path(failed.log).read_text()  # noqa: ASYNC240 - a small local file


async def test_bug_in_the_checks_of_a_finished_step_is_blamed_on_its_playbook(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    lab.world.extra = None  # type: ignore[assignment]
    with pytest.raises(PermanentError) as blamed:
        await lab.run(lab.document("a"))
    why = 'TypeError: can only concatenate tuple (not "NoneType") to tuple'
    assert blamed.value.message == f"the playbook `service` failed at step 1: {why}"


async def test_files_of_a_rendering_that_failed_half_way_are_known_as_rendered(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next template would meet them as if the user had edited them."""

    def full(root: Path, tree: Mapping[str, bytes], base: Mapping[str, str]) -> Written:
        write_tree(root, {"a/app.py": tree["a/app.py"]}, base)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("stepflow.engine.attempt.write_tree", full)
        assert await lab.run(lab.document("a")) == "failed"
    lab.world.template = b"x = 2\n"
    assert await lab.run(lab.document("a")) == "succeeded"
    assert lab.said(Notice) == []
    assert (lab.folder / "out/a/app.py").read_bytes() == b"x = 2\n"


async def test_output_folder_that_is_a_file_is_named(lab: Lab) -> None:
    (lab.folder / "out").touch()
    assert await lab.run(lab.document("a")) == "failed"
    failed = lab.said(StepFinished)[0]
    assert failed.error == f"`{lab.folder}/out` cannot be written: File exists"
    assert failed.hint == "make it a folder that you can write to, or choose another one with `--out`"


async def test_target_that_never_gets_done_fails_the_step_and_says_what_it_waited_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(_: object, progress: Callable[[Progress], None]) -> None:
        progress(Progress("the image of `a`", "12 of 40 layers"))
        await asyncio.Event().wait()

    monkeypatch.setattr("stepflow.engine.attempt.APPLYING", 0.05)
    monkeypatch.setattr(lab.target, "apply", forever)
    assert await lab.run(lab.document("a")) == "failed"
    expected = "timed out after 0.05 s waiting for the image of `a` (12 of 40 layers)"
    assert lab.said(StepFinished)[0].error == expected


async def test_workload_that_cannot_be_removed_fails_the_run_and_is_removed_by_the_next(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stays(_: object, **__: object) -> tuple[str, ...]:
        raise PermanentError("still not stopped: b-1")

    await lab.run(lab.document("a", "b"))
    with monkeypatch.context() as stuck:
        stuck.setattr(lab.target, "remove", stays)
        assert await lab.run(lab.document("a")) == "failed"
    assert [event.message for event in lab.said(Notice)] == ["`b` could not be removed: still not stopped: b-1"]
    assert await lab.run(lab.document("a")) == "succeeded"
    assert set(lab.target.observed) == {"a"}


async def test_bug_in_a_target_is_a_failed_step_with_the_traceback_in_its_log(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("image")

    monkeypatch.setattr(lab.target, "apply", broken)
    assert await lab.run(lab.document("a", "b<1")) == "failed"
    failed = lab.said(StepFinished)[0]
    assert failed.error == "the target `fake` failed in `apply`: KeyError: 'image'"
    assert failed.hint == "it is a bug of the package that brings `fake`"
    assert failed.log == str(lab.folder / "state/logs/01-a-run1.log")
    written = Path(failed.log).read_text()  # noqa: ASYNC240 - a small local file
    assert "unexpected error:\nTraceback (most recent call last):" in written


async def test_edited_file_whose_template_changed_is_kept_and_said(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    (lab.folder / "out/a/app.py").write_bytes(b"mine = True\n")
    lab.world.template = b"x = 2\n"
    await lab.run(lab.document("a"))
    said = f"you edited `{lab.folder}/out/a/app.py`, and what is rendered there changed: your text is kept"
    assert [event.message for event in lab.said(Notice)] == [said]
    assert (lab.folder / "out/a/app.py").read_bytes() == b"mine = True\n"


async def test_files_that_no_run_rendered_are_kept_and_said_once_with_the_way_to_new_ones(lab: Lab) -> None:
    there = lab.folder / "out/a/app.py"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"old = True\n")
    assert await lab.run(lab.document("a")) == "succeeded"
    remedy = "to regenerate it, delete it or choose another folder with `--out`"
    said = f"kept your existing `{there}`; {remedy}"
    assert [event.message for event in lab.said(Notice)] == [said]
    assert await lab.run(lab.document("a")) == "succeeded"
    assert (lab.outcomes(), lab.said(Notice)) == ({1: "reused"}, [])
    assert there.read_bytes() == b"old = True\n"


async def test_steps_without_playbooks_are_done_and_hand_on_their_words(lab: Lab) -> None:
    text = lab.document("a", "b<1").replace("- Playbook: service\n", "")
    assert await lab.run(text) == "succeeded"
    assert (lab.outcomes(), lab.target.applied) == ({1: "done", 2: "done"}, {})
    assert await lab.run(text) == "succeeded"
    assert lab.outcomes() == {1: "reused", 2: "reused"}


async def test_receiver_of_events_that_raises_changes_nothing_of_the_run(lab: Lab) -> None:
    def deaf(event: Event) -> None:
        heard.append(event.name)
        if len(heard) == 3:
            raise OSError(5, "the terminal went away")

    heard: list[str] = []
    with Journal(lab.folder / "state/journal.db") as journal:
        found = await lab.look(lab.document("a", "b<1"), journal)
        assert await carry_out(found, journal, Options(), deaf, None) == "succeeded"
        assert dict(runs(journal)[0].steps) == {1: "done", 2: "done"}
    assert heard == ["run_started", "step_started", "phase_started"]
    assert "the terminal went away" in (lab.folder / "state/logs/run1.log").read_text(encoding="utf-8")
