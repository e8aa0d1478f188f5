"""Wherever a run is cut off, rendered files are neither left for ever nor taken for the user's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stepflow.engine import past
from stepflow.events import Notice
from stepflow.journal import Journal
from stepflow.journal.record import Change
from stepflow.render import Written, digest, write_tree
from stepflow.render.tree import clear_unfinished

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

    from stepflow.plan import Plan

WRITES = 12
"""More than a run of two steps writes to its journal."""


class CutOff(BaseException):
    """Stands for SIGKILL: nothing may catch it and go on."""


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "out").rglob("*") if path.is_file())
    return {path.relative_to(folder / "out").as_posix(): path.read_bytes() for path in files}


async def plan(lab: Lab, *steps: str) -> Plan:
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        return (await lab.look(lab.document(*steps), journal)).plan


async def cut_off(lab: Lab, document: str, when: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, and die right before or after one write of the journal."""
    write, writes = Journal._write, []

    def dying(self: Journal, *changes: Change) -> int:
        writes.append(changes)
        if (len(writes), when) == (at, "before"):
            raise CutOff
        number = write(self, *changes)
        if (len(writes), when) == (at, "after"):
            raise CutOff
        return number

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_write", dying)
        try:
            await lab.run(document, jobs=1)
        except CutOff:
            return


async def cut_off_in_rendering(lab: Lab, document: str, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, and die once some files of the first step that renders are written."""

    def dying(root: Path, wanted: Mapping[str, bytes], base: Mapping[str, str]) -> Written:
        some = dict([*wanted.items()][:files])
        write_tree(root, some, {path: value for path, value in base.items() if path in some})
        raise CutOff

    with monkeypatch.context() as patched:
        patched.setattr("stepflow.engine.attempt.write_tree", dying)
        with pytest.raises(CutOff):
            await lab.run(document, jobs=1)


def renders(lab: Lab, template: bytes, *names: str) -> None:
    lab.world.template, lab.world.added = template, dict.fromkeys(names, template)


Edit = Callable[["Lab"], str]  # changes the world, and returns the next document


def other_files(lab: Lab) -> str:
    renders(lab, b"x = 3\n", "third.py")
    return lab.document("a", "b")


def former_files(lab: Lab) -> str:
    renders(lab, b"x = 1\n", "first.py")
    return lab.document("a", "b")


def step_gone(lab: Lab) -> str:
    renders(lab, b"x = 3\n", "third.py")
    return lab.document("b")


async def expected(lab: Lab, document: str, folder: Path) -> dict[str, bytes]:
    fresh = type(lab)(folder, world=lab.world)
    assert await fresh.run(document) == "succeeded"
    return tree(folder)


@pytest.mark.parametrize("change", [other_files, former_files, step_gone])
@pytest.mark.parametrize("cut", [(when, at) for at in range(1, WRITES + 1) for when in ("before", "after")], ids=str)
async def test_tree_is_that_of_a_fresh_run_after_a_cut_at_any_write_and_another_document(
    lab: Lab,
    cut: tuple[str, int],
    change: Edit,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    renders(lab, b"x = 1\n", "first.py")
    await lab.run(lab.document("a", "b"))
    renders(lab, b"x = 2\n", "second.py")
    await cut_off(lab, lab.document("a", "b"), *cut, monkeypatch)
    document = change(lab)
    await cut_off(lab, document, *cut, monkeypatch)
    assert await lab.run(document) == "succeeded"
    assert tree(lab.folder) == await expected(lab, document, tmp_path_factory.mktemp("fresh"))
    assert [each.message for each in lab.said(Notice) if "kept" in each.message] == []
    assert (await plan(lab, *("b",) if change is step_gone else ("a", "b"))).idle


@pytest.mark.parametrize("change", [other_files, former_files, step_gone])
@pytest.mark.parametrize("files", range(4))
@pytest.mark.parametrize("first", [True, False])
async def test_tree_is_that_of_a_fresh_run_after_a_cut_in_a_rendering_and_another_document(
    lab: Lab,
    files: int,
    change: Edit,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    first: bool,
) -> None:
    if not first:
        renders(lab, b"x = 1\n", "first.py")
        await lab.run(lab.document("a", "b"))
    renders(lab, b"x = 2\n", "second.py")
    await cut_off_in_rendering(lab, lab.document("a", "b"), files, monkeypatch)
    document = change(lab)
    assert await lab.run(document) == "succeeded"
    assert tree(lab.folder) == await expected(lab, document, tmp_path_factory.mktemp("fresh"))


async def test_files_that_the_user_edited_outlive_their_step(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    (lab.folder / "out/b/app.py").write_bytes(b"mine")
    assert (await plan(lab, "a")).left_over == 0
    await lab.run(lab.document("a"))
    assert (lab.folder / "out/b/app.py").read_bytes() == b"mine"


async def test_plan_says_how_many_files_of_steps_that_are_gone_are_removed(lab: Lab) -> None:
    lab.world.added = {"more.py": b""}
    await lab.run(lab.document("a", "b"))
    found = await plan(lab, "a")
    assert "    no step renders these any more\n      files     2 removed\n" in str(found)
    assert (found.idle, found.left_over) == (False, 2)


async def test_file_of_a_step_that_was_removed_is_not_its_own_any_more(lab: Lab) -> None:
    """Another platform may render into the same folder."""
    await lab.run(lab.document("a", "b"))
    await lab.run(lab.document("a"))
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        assert (await lab.look(lab.document("a"), journal)).past.files.disowned() == {}
    write_tree(lab.folder / "out", {"b/app.py": b"x = 1\n"}, {})
    assert (await plan(lab, "a")).idle
    await lab.run(lab.document("a"))
    assert (lab.folder / "out/b/app.py").exists()


async def test_step_that_comes_back_renders_again_what_was_removed_with_it(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    made = lab.target.observed["b"]
    await lab.run(lab.document("a"))
    lab.target.observed["b"] = made  # as if it had declared nothing that was removed
    assert (await plan(lab, "a", "b")).steps[1].reasons == ("1 rendered file is gone",)
    await lab.run(lab.document("a", "b"))
    assert (lab.folder / "out/b/app.py").read_bytes() == b"x = 1\n"


async def test_file_that_passes_from_one_step_to_another_is_known_until_the_other_has_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.run(lab.document("a", "b"))
    with Journal(lab.folder / "state/journal.db") as journal:  # a rendered the file that is to be b's
        journal._write(("UPDATE attempts SET files_json = ? WHERE step = 1", (_files(lab, "a/app.py", "b/app.py"),)))
        journal._write(("UPDATE attempts SET files_json = ? WHERE step = 2", ("{}",)))
    lab.world.template = b"x = 2\n"
    await cut_off(lab, lab.document("a", "b"), "after", 6, monkeypatch)  # a is done, b has not begun
    with Journal(lab.folder / "state/journal.db") as journal:
        known = past(journal, lab.folder / "out").files
        assert known.base["b/app.py"] == digest(b"x = 1\n")
    await lab.run(lab.document("a", "b"))
    assert (lab.folder / "out/b/app.py").read_bytes() == b"x = 2\n"
    assert lab.said(Notice) == []


def _files(lab: Lab, *paths: str) -> str:
    return json.dumps({path: digest((lab.folder / "out" / path).read_bytes()) for path in paths})


async def test_left_over_file_that_cannot_be_removed_fails_the_run_which_can_be_resumed(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    folder = lab.folder / "out/b"
    folder.rename(lab.folder / "out/elsewhere")
    folder.symlink_to("elsewhere")
    assert await lab.run(lab.document("a")) == "failed"
    assert [each.message for each in lab.said(Notice)][-1] == (
        "files that no step renders any more could not be removed: "
        f"`{folder}` is a symbolic link where a folder is needed"
    )
    folder.unlink()
    (lab.folder / "out/elsewhere").rename(folder)
    assert await lab.run(lab.document("a")) == "succeeded"
    assert not folder.exists()


async def test_half_a_file_that_a_killed_run_left_is_removed_by_the_next(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise CutOff

    with Journal(lab.folder / "state/journal.db"):
        pass  # it is made, so that only the rendering meets what follows
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr(os, "unlink", killed)
        with pytest.raises(CutOff):
            await lab.run(lab.document("a"))
    assert len(list((lab.folder / "out/a").glob(".app.py.*"))) == 1
    await lab.run(lab.document("b"))
    assert sorted(tree(lab.folder)) == ["b/app.py", "chassis/lib.py"]
    assert not (lab.folder / "out/a").exists()


def test_only_what_this_program_left_is_cleared(tmp_path: Path) -> None:
    names = (".app.py.0123456789ab", ".app.py.swp", ".app.py.0123456789AB", ".other.py.0123456789ab", "app.py")
    for folder in (tmp_path, tmp_path / "a"):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/.app.py.0123456789ab").touch()
    (tmp_path / "link").symlink_to("outside")
    (tmp_path / "empty/inner").mkdir(parents=True)
    clear_unfinished(tmp_path, ["app.py", "a/app.py", "link/app.py", "empty/inner/app.py", "none/app.py"])
    for folder in (tmp_path, tmp_path / "a"):
        assert {each.name for each in folder.iterdir() if each.name in names} == {*names[1:]}
    assert (tmp_path / "outside/.app.py.0123456789ab").exists()
    assert not (tmp_path / "empty").exists()
