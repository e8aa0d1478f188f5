"""A large value of a handoff is kept once, and loaded only where it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stepflow.engine import last_attempts
from stepflow.engine.desired import with_written
from stepflow.errors import MachineError
from stepflow.handoff import Handoff, JsonHandoff
from stepflow.journal import Attempt, Journal, Result
from stepflow.large import (
    LIMIT,
    Large,
    LargeObject,
    LazyObject,
    canonical,
    dumped,
    kept,
    merged,
    restored,
    slim,
)
from stepflow.playbook import Playbook, Settings, StepInput
from stepflow.workload import Declaration, Job

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

TEXT = "x" * LIMIT
FEW = {f"k{number}": "y" * 20 for number in range(LIMIT // 20)}  # an object that is large by its many small members


def digest(value: object) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Large) -> object:
        raise AssertionError(f"{self.digest} was loaded")

    monkeypatch.setattr(Large, "load", load)


@pytest.mark.parametrize(
    ("value", "slimmed"),
    [
        ({"v": {"a": "x" * (LIMIT - 40), "b": [1]}}, {"v": {"a": "x" * (LIMIT - 40), "b": [1]}}),
        ({"a": "x" * (LIMIT - 1), "b": [1]}, {"a": ("a",), "b": [1]}),
        ({"a": {"b": {"c": [TEXT]}, "d": 1}}, {"a": {"b": {"c": ("a", "b", "c")}, "d": 1}}),
        ({"a": FEW, "b": {**FEW, "t": TEXT}}, {"a": ("a",), "b": ("b",)}),
        ({"a": {"b": TEXT, "c": TEXT}}, {"a": {"b": ("a", "b"), "c": ("a", "c")}}),
        (FEW, ()),
        ({"ä": "ä" * (LIMIT // 2)}, {"ä": ("ä",)}),
    ],
    ids=["below the limit", "above it", "inside", "by its members", "by two members", "whole", "in bytes"],
)
def test_text_and_lists_are_large_by_themselves_and_objects_by_what_is_left(value: object, slimmed: object) -> None:
    assert slim(value, lambda place, _: place) == slimmed


def test_whole_is_not_folded_where_its_members_are_asked_for() -> None:
    assert slim({**FEW, "t": TEXT}, lambda place, _: place, root=False) == {**FEW, "t": ("t",)}


@pytest.mark.parametrize("value", [{"a": TEXT, "b": {"c": [TEXT], "d": 1}, "e": None}, {**FEW, "t": TEXT}])
def test_what_is_kept_is_restored_with_each_value_in_a_file_once(tmp_path: Path, value: dict[str, Any]) -> None:
    again = tmp_path / "values"
    slimmed, places = kept(value, again)
    assert kept(value, again) == (slimmed, places)
    assert len(canonical(slimmed)) < LIMIT
    assert {each.name for each in again.iterdir()} == {where for _, where in places}
    assert {oct(each.stat().st_mode & 0o777) for each in (again, *again.iterdir())} == {"0o700", "0o600"}
    found = restored(json.loads(canonical(slimmed)), places, again)
    assert dict(found) == value
    assert kept(found, again) == (slimmed, places)


def test_large_members_are_loaded_when_they_are_read_and_not_before(tmp_path: Path) -> None:
    slimmed, places = kept({"a": TEXT, "n": 1, "in": {"b": TEXT}}, tmp_path / "values")
    found = restored(slimmed, places, tmp_path / "values")
    (tmp_path / "values").rename(tmp_path / "away")
    assert (found["n"], len(found), "a" in found, list(found)) == (1, 3, True, ["a", "n", "in"])
    assert merged({"m": 2}, found)["m"] == 2
    for read in (
        lambda: found["a"], lambda: found.get("a"), lambda: dict(found), lambda: {**found}, lambda: [*found.values()],
        lambda: [*found.items()], lambda: json.dumps(found), found.copy, lambda: found["in"]["b"],
        lambda: dumped(JsonHandoff().model_copy(update={"values": found})), lambda: found == {"a": 1, "n": 1, "in": {}},
    ):  # fmt: skip
        with pytest.raises(MachineError, match="cannot be read"):
            read()
    (tmp_path / "away").rename(tmp_path / "values")
    handoff = JsonHandoff().model_copy(update={"values": found})
    assert dumped(handoff)["values"] == {"a": TEXT, "n": 1, "in": {"b": TEXT}}
    assert (found["a"], found.get("none", 3), found["in"]["b"]) == (TEXT, 3, TEXT)


def test_value_that_is_gone_or_damaged_is_named_with_what_to_type(tmp_path: Path) -> None:
    (_, digest_) = kept({"a": TEXT}, tmp_path / "values")[1][0]
    large, path = Large(digest=digest_, folder=tmp_path / "values"), tmp_path / "values" / digest_
    hint = "`stepflow resume --from STEP` with the step that handed it off writes it again"
    path.write_bytes(b'"x"')
    for why in ("it does not hold what was written there", "No such file or directory"):
        with pytest.raises(MachineError) as lost:
            large.load()
        assert lost.value.message == f"a value that a step handed off cannot be read: `{path}`: {why}"
        assert lost.value.hint == hint
        path.unlink(missing_ok=True)


def test_typed_handoff_gets_the_value_itself(tmp_path: Path) -> None:
    class Page(Handoff):
        text: str = ""

    slimmed, places = kept({"text": TEXT}, tmp_path / "values")
    assert with_written(Page(), restored(slimmed, places, tmp_path / "values")) == Page(text=TEXT)


def test_job_that_wrote_a_large_object_hands_off_all_of_it(tmp_path: Path) -> None:
    slimmed, places = kept(FEW, tmp_path / "values")
    written = restored(slimmed, places, tmp_path / "values")
    assert isinstance(written, LargeObject)
    assert len(written) == len(FEW)
    handoff = with_written(JsonHandoff(values={"own": 1}), written)
    assert isinstance(handoff, JsonHandoff)
    assert handoff.values == {"own": 1, **FEW}


def test_journal_holds_a_large_value_once_however_often_it_is_handed_off(tmp_path: Path) -> None:
    values = {"big": TEXT, "n": 1}
    with Journal(tmp_path / "journal.db") as journal:
        run = journal.begin_run(document="w.md", target="local", out="out", pid=7)
        for step in (1, 2):
            attempt = journal.begin_step(run, Attempt(step, "A", "shell", "f"))
            journal.end_step(attempt, Result("done", {"values": values}, values))
    assert [each.name for each in (tmp_path / "values").iterdir()] == [digest(TEXT)]
    assert (tmp_path / "journal.db").stat().st_size < LIMIT * 2
    with Journal(tmp_path / "journal.db", read_only=True) as journal:
        last = last_attempts(journal)[1]
        assert isinstance(last.written, LazyObject)
        assert (dict(last.written), last.handoff) == (values, {"values": values})


def test_large_value_that_cannot_be_written_is_the_journal_that_cannot(tmp_path: Path) -> None:
    (tmp_path / "values").touch()
    with Journal(tmp_path / "journal.db") as journal:
        run = journal.begin_run(document="w.md", target="local", out="out", pid=7)
        attempt = journal.begin_step(run, Attempt(1, "A", "shell", "f"))
        with pytest.raises(MachineError) as refused:
            journal.end_step(attempt, Result("done", {"values": {"big": TEXT}}))
    assert refused.value.message == f"the journal cannot be written: File exists: `{tmp_path / 'values'}`"
    assert refused.value.hint == "free some space if the disk is full, then type the same again"


class Source(Playbook):
    """A job that writes what the test says."""

    name, version, summary, gives = "source", "1", "Writes.", JsonHandoff
    settings = Settings

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration(jobs=(Job("write", ("bash", "-c", 'cp big.json "$STEPFLOW_HANDOFF"')),))


def wrote(lab: Lab, values: dict[str, Any]) -> None:
    (lab.folder / "big.json").write_text(json.dumps(values))


@pytest.mark.parametrize("values", [{"big": TEXT, "n": 1}, {"in": FEW}, {"in": {"list": [TEXT, 1], "n": 2}}])
async def test_run_with_nothing_to_do_loads_no_large_value(
    lab: Lab, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(lab.folder)
    wrote(lab, values)
    lab.playbooks["source"] = Source()
    document = lab.document("big", "a<1", "b<1").replace("- Playbook: service", "- Playbook: source", 1)
    assert await lab.run(document) == "succeeded"
    request.getfixturevalue("unread")
    assert await lab.run(document) == "succeeded"
    assert set(lab.outcomes().values()) == {"reused"}


async def test_change_inside_a_large_value_runs_again_what_takes_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.folder)
    wrote(lab, {"big": TEXT, "n": 1})
    lab.playbooks["source"] = Source()
    document = lab.document("big", "a<1").replace("- Playbook: service", "- Playbook: source", 1)
    await lab.run(document)
    wrote(lab, {"big": TEXT + "y", "n": 1})
    await lab.run(document)
    assert set(lab.outcomes().values()) == {"reused"}
    await lab.run(document.replace("- Prompt: go", "- Prompt: go on", 1), forced=(1,))
    assert lab.outcomes() == {1: "done", 2: "done"}
    assert lab.reasons(2) == ("handoff `source.values.big` changed", "asked for")
