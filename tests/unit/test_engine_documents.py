"""The files that a target contributes to the rendered tree for the whole platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from stepflow.engine import attempts_of, last_attempts
from stepflow.errors import PermanentError
from stepflow.events import Notice
from stepflow.journal import Journal
from stepflow.render import Written, write_tree
from stepflow.workload import Declaration

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Lab

    from stepflow.plan import Plan


@pytest.fixture(autouse=True)
def described(lab: Lab) -> None:
    """Have the target describe which workloads there are."""

    def describe(declarations: Sequence[Declaration]) -> dict[str, bytes]:
        names = [workload.name for each in declarations for workload in each.workloads]
        return {"compose.yaml": " ".join(names).encode()}

    lab.target.describe = describe


def compose(lab: Lab) -> Path:
    return lab.folder / "out/compose.yaml"


def attempts(lab: Lab) -> int:
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        return int(journal.rows("SELECT count(*) AS n FROM attempts")[0]["n"])


async def test_all_steps_are_described_also_those_that_failed_or_did_not_start(lab: Lab) -> None:
    lab.target.fail("a")
    assert await lab.run(lab.document("a", "b<1", "c")) == "failed"
    assert compose(lab).read_bytes() == b"a b c"


async def test_it_is_not_a_step_of_the_record(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    assert compose(lab).exists()
    with Journal(lab.folder / "state/journal.db") as journal:
        assert list(last_attempts(journal)) == [1]
        assert [each["step"] for each in attempts_of(journal, 1)] == [1]


async def test_run_that_has_nothing_to_do_touches_neither_the_file_nor_the_record(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    before = (compose(lab).stat().st_mtime_ns, compose(lab).stat().st_ino, attempts(lab))
    await lab.run(lab.document("a"))
    assert (compose(lab).stat().st_mtime_ns, compose(lab).stat().st_ino, attempts(lab)) == before


async def test_it_follows_the_document_and_comes_back_when_it_is_gone(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    await lab.run(lab.document("a", "b"))
    assert compose(lab).read_bytes() == b"a b"
    compose(lab).unlink()
    await lab.run(lab.document("a", "b"))
    assert compose(lab).read_bytes() == b"a b"
    assert lab.said(Notice) == []


async def test_file_that_the_user_edited_is_kept_and_said_so_when_it_would_have_changed(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    compose(lab).write_bytes(b"mine")
    await lab.run(lab.document("a"))
    assert (compose(lab).read_bytes(), lab.said(Notice)) == (b"mine", [])
    for _ in range(2):
        assert await lab.run(lab.document("a", "b")) == "succeeded"
        said = [event.message for event in lab.said(Notice)]
        assert (compose(lab).read_bytes(), said) == (
            b"mine",
            [f"you edited `{compose(lab)}`, and what is rendered there changed: your text is kept"],
        )


async def planned(lab: Lab, *steps: str) -> Plan:
    with Journal(lab.folder / "state/journal.db") as journal:
        return (await lab.look(lab.document(*steps), journal)).plan


async def test_plan_prints_them_as_it_does_the_files_of_a_step_and_is_idle_only_if_none_is_written(lab: Lab) -> None:
    whole = "    the whole platform\n      files     "
    assert f"{whole}1 new\n" in str(await planned(lab, "a"))
    await lab.run(lab.document("a"))
    assert "the whole platform" not in str(await planned(lab, "a"))
    compose(lab).unlink()
    found = await planned(lab, "a")
    assert (f"{whole}1 new\n" in str(found), found.idle) == (True, False)
    await lab.run(lab.document("a"))
    assert compose(lab).exists()
    assert f"{whole}1 changed\n" in str(await planned(lab, "a", "b"))
    compose(lab).write_bytes(b"mine")
    found = await planned(lab, "a")
    assert (f"{whole}1 kept as you edited them\n" in str(found), found.idle) == (True, True)
    assert f"{whole}conflict in compose.yaml\n" in str(await planned(lab, "a", "b"))
    compose(lab).write_bytes(b"a")
    lab.target.describe = lambda _: {}
    found = await planned(lab, "a")
    assert (f"{whole}1 removed\n" in str(found), found.idle) == (True, False)


async def test_file_that_a_killed_run_wrote_is_its_own_to_the_next(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(root: Path, tree: dict[str, bytes], base: dict[str, str]) -> Written:
        write_tree(root, tree, base)
        raise SystemExit(137)

    await lab.run(lab.document("a"))
    with monkeypatch.context() as patched:
        patched.setattr("stepflow.engine.documents.write_tree", killed)
        with pytest.raises(SystemExit):
            await lab.run(lab.document("a", "b"))
    await lab.run(lab.document("a", "b", "c"))
    assert (compose(lab).read_bytes(), lab.said(Notice)) == (b"a b c", [])


async def test_file_that_the_target_no_longer_gives_is_removed(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    lab.target.describe = lambda _: {}
    await lab.run(lab.document("a"))
    assert not compose(lab).exists()


async def test_file_that_cannot_be_written_fails_the_run_which_can_be_resumed(lab: Lab) -> None:
    compose(lab).parent.mkdir()
    (compose(lab).parent / "setup").write_bytes(b"")
    lab.target.describe = lambda _: {"setup/run.sh": b"true"}
    assert await lab.run(lab.document("a")) == "failed"
    said = f"`{compose(lab).parent / 'setup'}` is a file where a folder is needed"
    assert lab.said(Notice)[0].message == f"the files that describe the platform could not be written: {said}"
    (compose(lab).parent / "setup").unlink()
    assert await lab.run(lab.document("a")) == "succeeded"
    assert (compose(lab).parent / "setup/run.sh").read_bytes() == b"true"


async def test_target_that_cannot_describe_the_platform_fails_the_run_and_says_why(lab: Lab) -> None:
    def refuse(_: Sequence[Declaration]) -> dict[str, bytes]:
        raise PermanentError("there is no image for `redis`")

    lab.target.describe = refuse
    assert "      files     cannot be written: there is no image for `redis`\n" in str(await planned(lab, "a"))
    assert await lab.run(lab.document("a")) == "failed"
    assert lab.said(Notice)[0].message.endswith("could not be written: there is no image for `redis`")
