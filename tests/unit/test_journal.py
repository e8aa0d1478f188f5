"""The journal keeps its records, whatever process opens it next."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from tests.unit.rights import as_somebody_else

from stepflow.engine import attempts_of, known_steps, last_attempts, latest_run, past, runs
from stepflow.engine.matching import Known
from stepflow.errors import MachineError, UsageError
from stepflow.events import Outcome
from stepflow.journal import MIGRATIONS, PLATFORM, Attempt, Declared, Journal, Result
from stepflow.plan import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop/journal.db"


def begin(journal: Journal) -> int:
    return journal.begin_run(document="w.md", target="local", out="shop", pid=7)


def test_no_one_else_reads_the_record(path: Path) -> None:
    with Journal(path) as journal:
        begin(journal)
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm"), "0o600")


def test_done_step_is_found_again_with_all_that_it_left(path: Path) -> None:
    attempt = Attempt(2, "Orders", "order-service", "f00", {"target": "local"}, {"a.py": "1"}, ("orders",), log="x.log")
    with Journal(path) as journal:
        number = journal.begin_step(begin(journal), attempt)
        journal.enter_phase(number, "deploy")
        journal.end_step(number, Result("done", {"delivers": "ä"}, {"k": 1}, files={"a.py": "2"}))
    with Journal(path, read_only=True) as journal:
        found = last_attempts(journal)[2]
        assert (found.title, found.fingerprint, found.log) == ("Orders", "f00", "x.log")
        assert (found.handoff, found.written) == ({"delivers": "ä"}, {"k": 1})
        assert found.record == Record(1, "done", {"target": "local"}, found.record.seconds)
        assert past(journal, path.parent).files.base == {"a.py": "2"}
        assert past(journal, path.parent).workloads == {"orders"}


def test_attempt_without_an_end_is_an_interrupted_one(path: Path) -> None:
    with Journal(path) as journal:
        journal.begin_step(begin(journal), Attempt(1, "", "", "f"))
        assert last_attempts(journal)[1].record.outcome == "interrupted"
        assert attempts_of(journal, 1)[0]["outcome"] == "interrupted"


def test_last_attempt_counts_whichever_run_it_was_in(path: Path) -> None:
    with Journal(path) as journal:
        for outcome in ("done", "failed"):
            number = journal.begin_step(begin(journal), Attempt(1, "", "", "f"))
            journal.end_step(number, Result(outcome, error={"type": "E", "message": "m", "details": []}))
        assert last_attempts(journal)[1].record.outcome == "failed"
        assert attempts_of(journal, 2)[0]["error"] == {"type": "E", "message": "m", "details": []}


def test_cut_off_attempt_owns_the_files_that_lie_there_as_it_wanted_them(path: Path, tmp_path: Path) -> None:
    (tmp_path / "written.py").write_bytes(b"new")
    (tmp_path / "not-yet.py").write_bytes(b"old")
    new = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"
    with Journal(path) as journal:
        run = begin(journal)
        owned = {"written.py": "0", "not-yet.py": "0", "not-any-more.py": "0"}
        first = journal.begin_step(run, Attempt(1, "", "", "f"))
        journal.end_step(first, Result("done", files=owned))
        journal.begin_step(
            run,
            Attempt(1, "", "", "g", files={"written.py": new, "not-yet.py": new, "ours-never.py": new}, owned=owned),
        )
        assert past(journal, tmp_path).files.base == {"written.py": new, "not-yet.py": "0", "not-any-more.py": "0"}


def test_runs_are_listed_with_their_end_the_last_one_first(path: Path) -> None:
    with Journal(path) as journal:
        begin(journal)
        journal.end_run(
            1,
            "succeeded",
            [{"text": "t", "verdict": "verified", "evidence": ["e"], "run": 1}],
            {1: "done"},
            seconds=1.5,
        )
        begin(journal)
        second, first = runs(journal)
    assert (second.number, second.status, second.ended) == (2, "", None)
    assert (first.status, dict(first.steps), first.outcomes[0].evidence) == ("succeeded", {1: "done"}, ("e",))


def test_journal_of_a_newer_stepflow_is_refused(path: Path) -> None:
    with Journal(path):
        pass
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(UsageError, match="was written by a newer stepflow") as refused:
        Journal(path)
    assert refused.value.hint == "`pip install -U stepflow-cli`"


def test_journal_that_was_cut_off_before_its_tables_were_made_has_no_runs(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Journal(path, read_only=True) as journal:
        assert runs(journal) == ()
    assert path.read_bytes() == b""


def test_answer_recorded_by_another_stepflow_is_read_by_the_fields_that_are_known(path: Path) -> None:
    with Journal(path) as journal:
        begin(journal)
        outcomes = [{"text": "t", "verdict": "verified", "of": "a later version"}]
        journal.end_run(1, "succeeded", outcomes, {1: "done"}, seconds=1)
        assert runs(journal)[0].outcomes == (Outcome("t", "verified"),)


def test_steps_of_a_document_are_recorded_once_until_they_change(path: Path) -> None:
    first, second = (
        (Declared(1, 1, "A", "shell"),),
        (Declared(1, 2, "A", "shell"), Declared(2, 1, "N", "shell", "own", "c")),
    )
    with Journal(path) as journal:
        changes: list[int] = []
        for declared in (first, first, second, second, first, first):
            before = journal._db.total_changes
            journal.begin_run(document="w.md", target="local", out="shop", pid=7, declared=declared)
            changes.append(journal._db.total_changes - before)
            assert {each.key for each in known_steps(journal) if each.stood} == {each.key for each in declared}
        assert changes == [2, 1, 4, 1, 4, 1]  # a row of `runs`, and those of steps where they differ
        assert known_steps(journal) == (
            Known(1, 1, "A", "shell"), Known(2, 1, "N", "shell", "own", "c", stood=False),
        )  # fmt: skip


def test_record_that_is_damaged_is_named(path: Path) -> None:
    with Journal(path) as journal:
        begin(journal)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE attempts")
    db.close()
    with Journal(path) as journal, pytest.raises(MachineError, match="cannot be read: no such table") as damaged:
        last_attempts(journal)
    assert damaged.value.message == f"the journal `{path}` cannot be read: no such table: main.attempts"
    assert damaged.value.hint == (
        f"`mkdir -p {path.parent}/damaged && mv {path}* {path.parent}/damaged/`, then `stepflow run FILE --name shop`, "
        "which takes over what runs and runs commands again, or `stepflow down --name shop`"
    )


_COLUMNS = [
    *((column, "runs") for column in ("outcomes_json", "steps_json", "options_json", "asked_json")),
    *((f"{name}_json", "attempts") for name in ("components", "files", "workloads", "handoff", "written", "error")),
    *((f"{name}_json", "attempts") for name in ("reasons", "accepted", "owned", "large")),
]


def read_all(journal: Journal, here: Path) -> None:
    runs(journal)
    past(journal, here)
    attempts_of(journal, 1)


def test_every_column_with_json_is_known(path: Path) -> None:
    with Journal(path) as journal:
        read_all(journal, path.parent)
    db = sqlite3.connect(path)
    found = [(row[1], table) for table in ("runs", "attempts") for row in db.execute(f"PRAGMA table_info ({table})")]
    db.close()
    unused = ("declared_json", "runs")  # before there was a table of steps
    assert sorted(each for each in found if each[0].endswith("_json")) == sorted([*_COLUMNS, unused])


@pytest.mark.parametrize(
    ("column", "table", "text"),
    [(*column, text) for column, text in product(_COLUMNS, ("", '{"a": ', "7", '[{"a": 1}]'))]
    + [
        ("started", "runs", "yesterday"),
        ("ended", "attempts", "yesterday"),
        ("number", "attempts", "first"),
        ("form", "attempts", "2.5"),
    ],
)
def test_cell_that_does_not_hold_what_was_written_is_damage(path: Path, column: str, table: str, text: str) -> None:
    with Journal(path) as journal:
        journal.begin_step(begin(journal), Attempt(1, "A", "shell", "f", {"target": "local"}))
    db = sqlite3.connect(path)
    db.execute(f"UPDATE {table} SET {column} = ?", (text,))  # noqa: S608 - of the constants above
    db.commit()
    db.close()
    with Journal(path, read_only=True) as journal, pytest.raises(MachineError, match=column) as damaged:
        read_all(journal, path.parent)
    assert damaged.value.message == (
        f"the journal `{path}` cannot be read: `{column}` does not hold what stepflow writes there"
    )
    assert damaged.value.hint.startswith(f"`mkdir -p {path.parent}/damaged && mv {path}* {path.parent}/damaged/`, then")


def test_journal_that_is_gone_is_named_with_what_to_type(path: Path) -> None:
    with pytest.raises(MachineError, match=r"there is no journal `.*shop/journal\.db` any more") as gone:
        Journal(path, read_only=True)
    assert gone.value.hint == (
        "`stepflow run FILE --name shop`, which takes over what runs and runs commands again, "
        "or `stepflow down --name shop`"
    )
    assert not path.exists()


@pytest.mark.parametrize("times", [1, 1000])  # SQLite itself takes a file of one byte for a new database
def test_file_that_is_not_a_journal_is_named(path: Path, times: int) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x" * times)
    with pytest.raises(MachineError, match=r"the journal `.*journal\.db` cannot be used: file is not a database"):
        Journal(path)


@pytest.mark.parametrize("read_only", [False, True])
def test_journal_that_was_emptied_is_damage_and_not_a_new_one(path: Path, *, read_only: bool) -> None:
    with Journal(path) as journal:
        begin(journal)
    (path.parent / "logs").mkdir()
    path.write_bytes(b"")
    with pytest.raises(MachineError, match="is empty: what it recorded is lost") as damaged:
        Journal(path, read_only=read_only)
    assert damaged.value.message == f"the journal `{path}` is empty: what it recorded is lost"
    assert damaged.value.hint.startswith(f"`mkdir -p {path.parent}/damaged && mv {path}* {path.parent}/damaged/`, then")
    (path.parent / "damaged").mkdir()
    path.rename(path.parent / "damaged" / path.name)
    with Journal(path) as journal:
        assert runs(journal) == ()


@pytest.mark.parametrize("read_only", [False, True])
def test_journal_that_lost_its_format_is_damage_and_not_a_full_disk(path: Path, *, read_only: bool) -> None:
    Journal(path).__exit__()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 0")
    with pytest.raises(MachineError) as damaged:
        Journal(path, read_only=read_only)
    assert damaged.value.message == f"the journal `{path}` cannot be used: table runs already exists"
    assert damaged.value.hint.startswith(f"`mkdir -p {path.parent}/damaged && mv {path}* {path.parent}/damaged/`, then")


@pytest.mark.parametrize("read_only", [False, True])
def test_folder_in_place_of_a_journal_is_named_with_what_to_type(path: Path, *, read_only: bool) -> None:
    path.mkdir(parents=True)
    with pytest.raises(MachineError, match=r"^the journal `.*/shop/journal\.db` is not a file$") as damaged:
        Journal(path, read_only=read_only)
    assert damaged.value.hint.startswith(f"`mkdir -p {path.parent}/damaged && mv {path}* {path.parent}/damaged/`, then")


def test_new_journal_whose_making_was_cut_off_is_made_again(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / ".journal.new").write_bytes(b"half")
    with Journal(path) as journal:
        begin(journal)
    assert [each.name for each in path.parent.iterdir()] == ["journal.db"]


def test_reader_makes_no_file_whether_or_not_a_writer_has_the_journal_open(path: Path) -> None:
    def there() -> set[str]:
        return {each.name for each in path.parent.iterdir()}

    with Journal(path) as writer:
        begin(writer)
        files = there()
        with Journal(path, read_only=True) as journal:
            assert [each.number for each in runs(journal)] == [1]
            assert there() == files
    with Journal(path, read_only=True) as journal:
        assert [each.number for each in runs(journal)] == [1]
        assert there() == {"journal.db"}


@pytest.mark.parametrize("left", [(), ("-wal",), ("-wal", "-shm")], ids=str)
def test_journal_in_a_folder_that_may_not_be_written_is_read(open_to_all: Path, left: tuple[str, ...]) -> None:
    """`left`: what a killed writer leaves beside it."""
    made, path = open_to_all / "made/journal.db", open_to_all / "shop/journal.db"
    with Journal(made) as writer:
        begin(writer)
        path.parent.mkdir()
        for file in (path.name, *(f"{path.name}{end}" for end in left)):
            shutil.copyfile(made.with_name(file), path.with_name(file))
    if not left:
        shutil.copyfile(made, path)
    with as_somebody_else(path.parent), Journal(path, read_only=True) as journal:
        assert [each.number for each in runs(journal)] == [1]
    assert {each.name for each in path.parent.iterdir()} == {path.name, *(f"{path.name}{end}" for end in left)}


def test_journal_that_may_not_be_read_or_written_says_whose_it_must_be(open_to_all: Path) -> None:
    path = open_to_all / "shop/journal.db"
    with Journal(path):
        pass
    for mode, read_only in ((0o200, True), (0o444, False)):
        path.chmod(mode)
        with as_somebody_else(path.parent), pytest.raises(MachineError, match="Permission denied") as refused:
            Journal(path, read_only=read_only)
        assert refused.value.message == f"the journal `{path}` cannot be opened: Permission denied"
        assert refused.value.hint == f"the file and its folder must be yours: `ls -ld {path.parent} {path}`"


def test_journal_beside_which_no_file_may_be_made_says_whose_the_folder_must_be(open_to_all: Path) -> None:
    path = open_to_all / "shop/journal.db"
    with Journal(path):
        pass
    path.chmod(0o666)
    with as_somebody_else(path.parent), pytest.raises(MachineError) as refused:
        Journal(path)
    why = refused.value.message.removeprefix(f"the journal `{path}` cannot be used: ")
    assert why in {"unable to open database file", "attempt to write a readonly database"}
    assert refused.value.hint == f"the file and its folder must be yours: `ls -ld {path.parent} {path}`"


def test_writing_to_a_journal_that_is_only_read_says_so(path: Path) -> None:
    with Journal(path):
        pass
    with Journal(path, read_only=True) as journal, pytest.raises(MachineError, match="cannot be written: attempt to"):
        begin(journal)


def test_options_of_a_run_are_recorded_and_a_journal_from_before_them_is_read_and_upgraded(path: Path) -> None:
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1")
    db.execute("INSERT INTO runs (started, pid, document, target, out) VALUES (1, 7, 'w.md', 'local', 'shop')")
    db.commit()
    db.close()
    with Journal(path, read_only=True) as journal:
        assert [dict(run.options) for run in runs(journal)] == [{}]
    with Journal(path) as journal:
        journal.begin_run(document="w.md", target="docker", out="shop", pid=8, options={"base-image": "b:1"})
        assert [dict(run.options) for run in runs(journal)] == [{"base-image": "b:1"}, {}]


def test_journal_from_before_there_were_tables_of_steps_and_of_what_was_made_is_upgraded(
    path: Path, tmp_path: Path
) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"{''.join(f'{script};' for script in MIGRATIONS[:3])} PRAGMA user_version = 3")
        first = '[[1,1,"A","shell","","c"],[2,2,"B","shell","b","d"]]'
        for declared in (first, "", '[[1,2,"A2","shell","","c"]]', ""):
            db.execute(
                "INSERT INTO runs (started, pid, document, target, out, declared_json) "
                "VALUES (1, 7, 'w.md', 'local', 'shop', ?)",
                (declared,),
            )
        for step, outcome, files, workloads in (
            (1, "done", '{"a.py":"1","b.py":"1"}', '["a","nats"]'),
            (1, None, '{"c.py":"2"}', '["c"]'),
            (1, None, '{"d.py":"3"}', "[]"),
            (2, None, '{"e.py":"4"}', '["a"]'),
            (3, "failed", "{}", "[]"),
            (PLATFORM, "done", '{"compose.yaml":"5"}', "[]"),
        ):
            db.execute(
                "INSERT INTO attempts (run, step, number, title, playbook, started, fingerprint, components_json, "
                "files_json, workloads_json, outcome) VALUES (1, ?, 1, 'T', 'shell', 1, 'f', '{}', ?, ?, ?)",
                (step, files, workloads, outcome),
            )
        db.commit()
    for _ in range(2):
        with Journal(path) as journal:
            found = past(journal, tmp_path)
        assert found.known == (
            Known(1, 2, "A2", "shell", "", "c"),
            Known(2, 2, "B", "shell", "b", "d", stood=False),
            Known(3, 1, "T", "shell", stood=False),
        )
        assert found.workloads == {"a", "c", "nats"}
        assert found.files.base == {"a.py": "1", "b.py": "1", "compose.yaml": "5"}
        assert {step: sorted(paths) for step, paths in found.files.paths.items()} == {
            1: ["a.py", "b.py"], 2: [], 3: [], PLATFORM: ["compose.yaml"],
        }  # fmt: skip
        assert {step: last.record.outcome for step, last in found.last.items()} == {
            1: "interrupted", 2: "interrupted", 3: "failed",
        }  # fmt: skip


def test_what_a_plan_reads_does_not_grow_with_the_number_of_runs(path: Path, tmp_path: Path) -> None:
    steps = [Declared(number, number, f"S {number}", "shell") for number in range(1, 21)]
    instructions: list[int] = []

    def read(journal: Journal) -> int:
        instructions.clear()
        journal._db.set_progress_handler(lambda: instructions.append(1), 10)
        past(journal, tmp_path)
        latest_run(journal)
        journal._db.set_progress_handler(None, 0)
        return len(instructions)

    with Journal(path) as journal:
        read_after = []
        for run in range(1, 101):
            journal.begin_run(
                document="w.md", target="local", out="shop", pid=7, declared=steps[: 19 + run % 2], workflow=str(run)
            )
            for each in steps:
                attempt = Attempt(each.key, each.title, "shell", "f", files={f"{each.key}.txt": "1"}, workloads=("a",))
                journal.end_step(journal.begin_step(run, attempt), Result("done", {}, files={f"{each.key}.txt": "1"}))
            read_after.append(read(journal))
    assert read_after[-1] < read_after[4] * 1.5


def test_what_is_recorded_for_people_is_cut_where_it_is_very_long(path: Path) -> None:
    long, cut = "x" * 10_000, f"{'x' * 4000}… and 6000 more characters"
    with Journal(path) as journal:
        run = begin(journal)
        attempt = Attempt(1, long, "shell", "f", {"field:text": long}, reasons=(long, "short"))
        number = journal.begin_step(run, attempt)
        error = {"type": "E", "message": long, "details": [long] * 200}
        journal.end_step(number, Result("failed", error=error))
        outcome = {"text": long, "verdict": "failed", "evidence": [long], "run": 1}
        journal.end_run(run, "failed", [outcome], {1: "failed"}, seconds=1.0)
        (found,) = attempts_of(journal, run)
        assert (found["title"], found["reasons"]) == (cut, [cut, "short"])
        assert found["error"] == {"type": "E", "message": cut, "details": [cut] * 100 + ["and 100 more"]}
        assert runs(journal)[0].outcomes == (Outcome(long, "failed", (cut,), 1),)
        assert last_attempts(journal)[1].record.components == {"field:text": long}
