"""`check`, `show`, `graph`, `playbooks` and `init`, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.rights import as_somebody_else

from stepflow.cli import main

REFERENCE = Path(__file__).parents[2] / "examples/microservices/workflow.md"
HELLO = Path(__file__).parents[2] / "examples/hello/workflow.md"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def test_check_prints_every_diagnostic_and_ends_with_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = "## Step 1\n- Playbook: shel\n- Prompt: p\n\n## Step 2\n- Playbook: shell\n- Prompt: p\n- Retries: many\n"
    (here / "w.md").write_text(two)
    assert main(["check", "w.md"]) == 2
    assert capsys.readouterr().out == (
        "w.md:2:13: error[SF301]: no playbook `shel` is installed\n"
        " 2 | - Playbook: shel\n"
        "   |             ^^^^\n"
        "  hint: did you mean `shell`?\n"
        "\n"
        "w.md:7:11: info[SF307]: the prompt of step 2 is a command: `shell` executes it\n"
        " 7 | - Prompt: p\n"
        "   |           ^\n"
        "  hint: read it as you would read a script before you run it\n"
        "\n"
        "w.md:8:12: error[SF303]: `Retries: many` does not fit playbook `shell`: should be a whole number\n"
        " 8 | - Retries: many\n"
        "   |            ^^^^\n"
        "  hint: how often it is retried after a failure\n"
        "\n"
        "w.md: 2 steps; 2 errors, 1 remark\n"
    )


EVIL = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202e[bold]x[/bold]"


@pytest.mark.parametrize("command", ["check", "show", "plan", "graph", "run"])
@pytest.mark.parametrize("playbook", ["shell", f"x{EVIL}"])
def test_a_document_cannot_command_the_terminal(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, playbook: str
) -> None:
    step = f"## Step 1: A{EVIL}\n- Playbook: {playbook}\n- Prompt: true # {EVIL}\n- Bogus{EVIL}: 1\n"
    text = f"# T{EVIL}\n\nWhy{EVIL}\n\n{step}\n## Expected Outcomes\n- Done{EVIL}\n"
    (here / "w.md").write_text(text, encoding="utf-8")
    main([command, "w.md"])
    said = "".join(capsys.readouterr())
    assert "[bold]x[/bold]" in said
    assert not set(said) & set("\x1b\x07\x9b\u202e")


def test_check_json_is_one_object_and_says_that_a_prompt_is_executed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(HELLO), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "diagnostics": [
            {
                "code": "SF307",
                "severity": "info",
                "file": str(HELLO),
                "line": 4,
                "column": 11,
                "message": "the prompt of step 1 is a command: `shell` executes it",
                "hint": "read it as you would read a script before you run it",
            }
        ]
    }


@pytest.mark.parametrize("command", ["check", "show", "graph"])
def test_a_file_that_is_not_there_is_one_line_and_a_hint(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "nothing.md"]) == 2
    assert capsys.readouterr().err == (
        "error: there is no file `nothing.md`\nhint: `stepflow init` writes a workflow to start with\n"
    )


def test_show_gives_steps_outcomes_and_patterns_with_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert not main(["show", str(REFERENCE)])
    text = capsys.readouterr().out
    assert "2. User Management Service (line 20)" in text
    assert "   relies on   step 1: user service needs service discovery" in text
    assert "  Service mesh with API gateway (line 99)" in text
    assert max(len(line) for line in text.splitlines() if str(REFERENCE) not in line) <= 80
    assert not main(["show", str(REFERENCE), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["complexity"] == {"text": "Advanced (8 Steps)", "line": 3}
    assert shown["steps"][1]["relies_on"] == [{"step": 1, "reason": "user service needs service discovery", "line": 91}]
    assert [len(shown[key]) for key in ("steps", "outcomes", "patterns")] == [8, 7, 6]


def test_graph_is_a_tree_by_default_and_draws_collected_steps_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert not main(["graph", str(REFERENCE)])
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "collects " in text
    assert not main(["graph", str(REFERENCE), "--format", "json"])
    made = json.loads(capsys.readouterr().out)
    assert [(edge["from"], edge["to"]) for edge in made["edges"] if edge["kind"] == "relies"] == [
        (1, 2),
        (2, 4),
        (4, 6),
        (6, 7),
        (7, 8),
    ]
    assert {edge["to"] for edge in made["edges"] if edge["kind"] == "collects"} >= {8}


def test_graph_run_shows_what_happened(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "w.md").write_text("# W\n## Step 1: One\n- Playbook: shell\n- Prompt: 'true'\n")
    assert main(["graph", "w.md", "--run"]) == 2
    assert "error: there is no platform in this directory" in capsys.readouterr().err
    assert main(["run", "w.md"]) == 0
    capsys.readouterr()
    assert not main(["graph", "w.md", "--run", "--format", "json"])
    assert json.loads(capsys.readouterr().out)["nodes"][0]["status"] == "done"


def test_playbooks_lists_and_shows_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playbooks", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["playbooks"]}
    assert listed["shell"]["package"] == "stepflow-cli"
    assert not main(["playbooks", "show", "shell", "--json"])
    assert "creates" in json.loads(capsys.readouterr().out)["settings"]["properties"]
    assert not main(["playbooks", "show", "shell"])
    assert "Retries (int, default 0): how often it is retried" in capsys.readouterr().out
    assert main(["playbooks", "show", "shel"]) == 2
    assert capsys.readouterr().err == "error: no playbook `shel` is installed\nhint: did you mean `shell`?\n"


def test_a_new_playbook_passes_its_own_tests(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not main(["playbooks", "new", "tea-time"])
    assert "wrote `tea-time/stepflow_tea_time/playbook.py`" in capsys.readouterr().out
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:hypothesispytest")
    done = subprocess.run(
        (sys.executable, "-m", "pytest", *options), cwd=here / "tea-time", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout
    assert main(["playbooks", "new", "tea-time"]) == 2
    assert "`tea-time` already exists" in capsys.readouterr().err
    assert main(["playbooks", "new", "../tea"]) == 2
    assert "cannot be the name of a playbook" in capsys.readouterr().err


def test_init_writes_a_workflow_that_checks_and_never_overwrites(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not main(["init", "mine"])
    assert capsys.readouterr().out == "wrote `mine/workflow.md`\nnext: `cd mine && stepflow run workflow.md`\n"
    assert main(["check", "mine/workflow.md"]) == 0
    (here / "mine/workflow.md").write_text("my own")
    assert main(["init", "mine"]) == 2
    assert "error: `mine/workflow.md` already exists" in capsys.readouterr().err
    assert (here / "mine/workflow.md").read_text() == "my own"


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("file/x", "not a directory"),
        ("/proc/x", "no such file or directory"),
        ("self/x", "too many levels of symbolic links"),
        ("x" * 300, "file name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_said_and_not_a_bug(
    folder: str, why: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").touch()
    (here / "self").symlink_to("self")
    hint = "hint: name a folder in which you may write: `stepflow"
    assert main(["playbooks", "new", "tea", folder]) == 2
    said = f"error: `{folder}` cannot be written: {why}\n{hint} playbooks new tea DIR`\n"
    assert capsys.readouterr().err == said
    assert main(["init", folder]) == 2
    assert capsys.readouterr().err == f"error: `{folder}/workflow.md` cannot be written: {why}\n{hint} init DIR`\n"


def test_a_directory_that_may_not_be_written_is_said_by_what_writes_to_it(
    open_to_all: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (open_to_all / "w.md").write_text("# One\n\n## Step 1: Go\n- Prompt: nothing\n", encoding="utf-8")
    monkeypatch.chdir(open_to_all)
    assert [main(["plan", "w.md"]), main(["playbooks", "show", "shell"])] == [0, 0]  # all modules are loaded
    main(["init"])
    main(["playbooks", "new", "w.md", "w.md"])
    capsys.readouterr()
    (open_to_all / "workflow.md").unlink()
    with as_somebody_else(open_to_all):
        codes = [main(each) for each in (["init"], ["playbooks", "new", "tea"], ["run", "w.md"])]
    hint = "hint: name a folder in which you may write: `stepflow"
    assert codes == [2, 2, 3]
    assert capsys.readouterr().err == (
        f"error: `workflow.md` cannot be written: permission denied\n{hint} init DIR`\n"
        f"error: `tea` cannot be written: permission denied\n{hint} playbooks new tea DIR`\n"
        f"error: the state directory `{open_to_all}/.stepflow/one` cannot be used: Permission denied\n"
        f"hint: it needs a folder in which you may write: `ls -ld {open_to_all}`; or work in another directory\n"
    )


def test_a_document_that_may_not_be_read_says_how_to_look(
    open_to_all: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = open_to_all / "secret.md"
    file.write_text("# One\n", encoding="utf-8")
    file.chmod(0)
    main(["check", str(file)])
    capsys.readouterr()
    with as_somebody_else(open_to_all):
        assert main(["check", str(file)]) == 2
    said = f"error: `{file}` cannot be read: permission denied\nhint: it must be readable for you: `ls -l {file}`\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("out", "why"), [("self/x", "too many levels of symbolic links"), ("file/x", "not a directory")]
)
def test_output_where_no_folder_can_be_is_refused_before_anything_is_done(
    out: str, why: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "self").symlink_to("self")
    (here / "file").touch()
    for command in ("plan", "run"):
        assert main([command, str(REFERENCE), "--out", out]) == 2
        said = f"error: `{out}` cannot be written: {why}\nhint: choose another folder with `--out`\n"
        assert capsys.readouterr().err == said
    assert not (here / ".stepflow").exists()


def test_a_long_line_is_shown_around_its_caret(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = "## Dependency Chain Analysis\n"
    text = f"## Step 1\n- Prompt: p\n## Step 2\n- Prompt: p\n{section}- Step 2 -> Step 1{' ' * 500}or {'y' * 500}\n"
    (here / "w.md").write_text(text)
    assert main(["check", "w.md"]) == 2
    said = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(said) if "SF205" in line)
    assert said[at : at + 3] == [
        f"w.md:6:519: error[SF205]: `or {'y' * 56}…` is not understood in this line of the dependency section",
        f" 6 | …{' ' * 39}or {'y' * 116}…",
        f"   | {' ' * 40}{'^' * 120}",
    ]


def test_of_diagnostics_of_one_code_twenty_are_printed_and_the_others_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "w.md").write_text("## Step 1\n- Prompt: p\n" + "- Handoff: h\n" * 101)
    assert main(["check", "w.md"]) == 2
    said = capsys.readouterr().out
    assert said.count("error[SF106]: step 1 has `Handoff` twice") == 20
    assert "w.md:24:3: error[SF106]: and 80 more of SF106, from here on\n" in said
    assert said.endswith("w.md: 1 step; 100 errors, 1 remark\n")
    assert main(["check", "w.md", "--json"]) == 2
    rows = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [row["message"] for row in rows if row["code"] == "SF106"][20:] == ["and 80 more of SF106, from here on"]
    assert main(["run", "w.md"]) == 2
    said = capsys.readouterr().err
    assert said.count("error[SF106]: ") == 21
    assert said.endswith("error: 100 errors in the document\n")


def test_a_value_of_any_length_is_named_by_its_beginning(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 100_000
    step = f"## Step 1\n- Playbook: {{}}\n- Prompt: p\n- Id: {long} {long}\n- Timeout: {long}\n"
    (here / "w.md").write_text(step.format("shell") + f"## Step 2\n- Playbook: {long}\n- RelyPreviousStep: {long}\n")
    assert main(["check", "w.md", "--json"]) == 2
    assert [row["message"] for row in json.loads(capsys.readouterr().out)["diagnostics"]] == [
        "the prompt of step 1 is a command: `shell` executes it",
        f"`{'x' * 39}…` cannot be the id of a step",
        f"`Timeout: {'x' * 59}…` does not fit playbook `shell`: should be a number",
        "step 2 has no `Prompt`",
        f"no playbook `{'x' * 59}…` is installed",
        f"`RelyPreviousStep: {'x' * 59}…` is neither yes, nor no, nor a list of steps",
    ]


def test_json_that_nests_too_deeply_does_not_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "w.md").write_text(f"## Step 1\n- Playbook: shell\n- Prompt: p\n- Creates: {'[' * 100_000}\n")
    assert main(["check", "w.md"]) == 2
    message = f"`Creates: {'[' * 59}…` does not fit playbook `shell`: should be a valid tuple"
    assert f"w.md:4:12: error[SF303]: {message}\n" in capsys.readouterr().out


def test_values_and_features_that_do_not_fit_are_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "w.md").write_text(
        "## Step 1\n- Playbook: notification-service\n- Prompt: p\n"
        f"- Features: {', '.join(f'feature-{n}' for n in range(20))}\n"
    )
    main(["check", "w.md", "--json"])
    said = [row["message"] for row in json.loads(capsys.readouterr().out)["diagnostics"] if row["code"] == "SF304"]
    assert said[7:] == [
        "playbook `notification-service` has no feature `feature-7`",
        "playbook `notification-service` has none of 12 more features that are named",
    ]
