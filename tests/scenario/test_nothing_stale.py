"""What a command reads and makes decides whether it runs again: nothing stale is reused, nothing runs needlessly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STEPFLOW = Path(sys.executable).with_name("stepflow")
EXAMPLE = Path(__file__).parents[2] / "examples/fail-and-resume/workflow.md"
SECRET = "correct-horse-battery"
Done = subprocess.CompletedProcess[str]


def stepflow(cwd: Path, *arguments: str, **environment: str) -> Done:
    env = {**os.environ, **environment}
    return subprocess.run(
        [STEPFLOW, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False, env=env
    )


def write(cwd: Path, *steps: str) -> None:
    """Write steps as `prompt | Field: value | Field: value`."""
    lines = ["# Chain", ""]
    for number, text in enumerate(steps, 1):
        prompt, *fields = text.split(" | ")
        lines += [f"## Step {number}: Part {number}", "- Playbook: shell", f"- Prompt: {prompt}"]
        lines += [*(f"- {field}" for field in fields), ""]
    (cwd / "w.md").write_text("\n".join(lines), encoding="utf-8")


def events(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def ran(cwd: Path, **environment: str) -> dict[int, str]:
    """Run, and return how each step ended; what ran is what the plan said, or what it said was to be decided."""
    planned = planned_for(cwd, **environment)
    done = stepflow(cwd, "run", "w.md", "--json", **environment)
    assert done.returncode == 0, done.stderr + done.stdout
    outcomes = {e["step"]: e["outcome"] for e in events(done) if e["event"] == "step_finished"}
    for number, outcome in outcomes.items():
        assert planned[number] == "blocked" or (planned[number] == "reuse") == (outcome == "reused"), (number, planned)
    return outcomes


def planned_for(cwd: Path, **environment: str) -> dict[int, str]:
    lines = stepflow(cwd, "plan", "w.md", **environment).stdout.splitlines()
    steps = (line.split() for line in lines if line[:3].strip().isdigit())
    return {int(words[0]): words[-1] for words in steps}


def reasons(cwd: Path, step: int, **environment: str) -> list[str]:
    told = events(stepflow(cwd, "run", "w.md", "--json", **environment))
    return next(e["reasons"] for e in told if e["event"] == "step_finished" and e["step"] == step)


def test_bread_has_the_new_flour(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "w.md")
    (tmp_path / "kitchen").mkdir()
    (tmp_path / "kitchen/yeast").touch()
    assert set(ran(tmp_path).values()) == {"done"}
    assert set(ran(tmp_path).values()) == {"reused"}
    text = (tmp_path / "w.md").read_text()
    (tmp_path / "w.md").write_text(text.replace("weighed at $(date +%T)", "rye"))
    assert ran(tmp_path) == {1: "done", 2: "reused", 3: "done", 4: "done"}
    assert (tmp_path / "kitchen/bread").read_text().endswith("rye\n")


def test_what_an_earlier_step_removed_is_made_again(tmp_path: Path) -> None:
    write(tmp_path, "rm -rf dist", "mkdir -p dist; echo app > dist/app.gz | Creates: dist/app.gz")
    ran(tmp_path)
    write(tmp_path, "rm -rf dist; true", "mkdir -p dist; echo app > dist/app.gz | Creates: dist/app.gz")
    done = stepflow(tmp_path, "plan", "w.md")
    assert "reuse\n      unchanged: reused if its checks pass" in done.stdout or "blocked" in done.stdout
    done = stepflow(tmp_path, "run", "w.md", "--json")
    assert [e["outcome"] for e in events(done) if e["event"] == "step_finished"] == ["done", "done"]
    assert (tmp_path / "dist/app.gz").read_text() == "app\n"


def test_outputs_that_come_out_the_same_stop_the_wave(tmp_path: Path) -> None:
    write(tmp_path, "echo 1 > a | Creates: a", "cat a > b | Creates: b", "cat b >> c")
    ran(tmp_path)
    write(tmp_path, "echo 1  > a | Creates: a", "cat a > b | Creates: b", "cat b >> c")
    assert ran(tmp_path) == {1: "done", 2: "reused", 3: "reused"}
    write(tmp_path, "echo 2 > a | Creates: a", "cat a > b | Creates: b", "cat b >> c")
    assert ran(tmp_path) == {1: "done", 2: "done", 3: "done"}
    assert (tmp_path / "c").read_text() == "1\n2\n"


def test_file_that_was_changed_by_hand_runs_what_reads_it_and_not_what_made_it(tmp_path: Path) -> None:
    write(tmp_path, "echo x >> made; echo 1 > a | Creates: a", "cat a > b | Creates: b")
    ran(tmp_path)
    (tmp_path / "a").write_text("2\n")
    assert ran(tmp_path) == {1: "reused", 2: "done"}
    assert (tmp_path / "b").read_text() == "2\n"
    assert ran(tmp_path) == {1: "reused", 2: "reused"}


@pytest.mark.parametrize("inputs", ["src/**/*.c, Makefile", "src, Makefile", "src/deep/b.c, Makefile"])
def test_changed_input_runs_its_step_and_another_file_does_not(tmp_path: Path, inputs: str) -> None:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/deep/b.c").write_text("int b;")
    (tmp_path / "Makefile").write_text("all:")
    write(tmp_path, f"cat src/deep/b.c | Inputs: {inputs}")
    assert ran(tmp_path) == {1: "done"}
    (tmp_path / "unrelated").write_text("x")
    assert ran(tmp_path) == {1: "reused"}
    (tmp_path / "src/deep/b.c").write_text("int c;")
    assert reasons(tmp_path, 1) == [f"input `{inputs.partition(',')[0]}` changed"]
    (tmp_path / "src/deep/b.c").rename(tmp_path / "src/deep/c.c")
    (tmp_path / "src/deep/b.c").symlink_to("c.c")
    assert ran(tmp_path) == ({1: "done"} if "b.c" not in inputs else {1: "reused"})


@pytest.mark.parametrize("inputs", ["**/*", "."])
def test_what_a_step_makes_and_the_state_of_platforms_are_none_of_its_inputs(tmp_path: Path, inputs: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("1")
    (tmp_path / "source").write_text("1")
    write(tmp_path, f"cp source made | Inputs: {inputs} | Creates: made")
    assert ran(tmp_path) == {1: "done"}
    (tmp_path / ".git/HEAD").write_text("2")
    assert ran(tmp_path) == {1: "reused"}
    (tmp_path / "source").write_text("2")
    assert ran(tmp_path) == {1: "done"}


def test_input_that_a_step_far_before_it_makes_counts_as_it_is_then(tmp_path: Path) -> None:
    steps = ["cp source a | Inputs: source", "echo between", "cat a > b | Inputs: a | Creates: b"]
    (tmp_path / "source").write_text("1")
    write(tmp_path, *steps)
    assert set(ran(tmp_path).values()) == {"done"}
    assert set(ran(tmp_path).values()) == {"reused"}
    (tmp_path / "source").write_text("2")
    assert planned_for(tmp_path) == {1: "rerun", 2: "blocked", 3: "blocked"}
    assert ran(tmp_path) == {1: "done", 2: "reused", 3: "done"}
    assert (tmp_path / "b").read_text() == "2"
    assert set(ran(tmp_path).values()) == {"reused"}


def test_value_that_is_promised_and_not_written_fails_the_step_and_says_which(tmp_path: Path) -> None:
    write(tmp_path, """printf '{"version": 1}' > "$STEPFLOW_HANDOFF" | Gives: version, image, digest""")
    done = stepflow(tmp_path, "run", "w.md")
    command = """`printf '{"version": 1}' > "$STEPFLOW_HANDOFF"`"""
    promised = "ended without `image` and `digest`, which the field `Gives` promises"
    assert done.stderr.splitlines()[:2] == [
        f"error: step 1 (Part 1) failed: {command} {promised}",
        "  hint: write it to `$STEPFLOW_HANDOFF`, or correct the field `Gives`",
    ]


def test_variable_with_another_value_runs_the_step_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, "echo $REGION >> told | Env: REGION", "echo other")
    assert ran(tmp_path, REGION="eu") == {1: "done", 2: "done"}
    assert ran(tmp_path, REGION="eu") == {1: "reused", 2: "reused"}
    assert reasons(tmp_path, 1, REGION="us") == ["environment variable `REGION` changed"]
    assert (tmp_path / "told").read_text() == "eu\nus\n"


def test_variable_of_the_file_dotenv_is_handed_to_the_step_that_names_it_and_the_environment_goes_first(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("# comment\nREGION='from file'\nexport OTHER=$(whoami)\n")
    write(tmp_path, "echo $REGION $OTHER >> told | Env: REGION, OTHER", "echo ${OTHER:-none} >> told")
    ran(tmp_path)
    ran(tmp_path, REGION="from outside")
    assert (tmp_path / "told").read_text() == "from file $(whoami)\nnone\nfrom outside $(whoami)\n"


def test_variables_that_are_not_set_are_named_before_anything_runs(tmp_path: Path) -> None:
    write(tmp_path, "touch ran", "echo $A $B | Env: STEPFLOW_TEST_A | Secrets: STEPFLOW_TEST_B")
    done = stepflow(tmp_path, "run", "w.md")
    assert done.returncode == 2
    assert done.stderr == (
        "error: 2 environment variables are not set: `STEPFLOW_TEST_A` of step 2, `STEPFLOW_TEST_B` of step 2\n"
        "hint: `export STEPFLOW_TEST_A=...`, or write `STEPFLOW_TEST_A=...` into the file `.env`\n"
    )
    assert not (tmp_path / "ran").exists()


def test_secret_appears_nowhere_and_another_value_runs_its_step(tmp_path: Path) -> None:
    write(tmp_path, "echo token=$TOKEN; test -f fixed | Secrets: TOKEN", "echo other")
    failed = stepflow(tmp_path, "run", "w.md", TOKEN=SECRET)
    (tmp_path / "fixed").touch()
    done = stepflow(tmp_path, "resume", "--json", TOKEN=SECRET)
    assert "  1 | token=***\n" in failed.stdout
    assert "  | token=***\n" in failed.stderr
    shown = [failed.stdout, failed.stderr, done.stdout, done.stderr]
    shown += [stepflow(tmp_path, *words).stdout for words in (["logs", "1"], ["runs", "--json"])]
    assert not [text for text in shown if SECRET in text]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert reasons(tmp_path, 1, TOKEN="another-secret") == ["secret `TOKEN` changed"]


@pytest.mark.parametrize("gives", ["token (secret)", "url"])
def test_secret_that_is_handed_off_reaches_its_taker_and_nothing_else(tmp_path: Path, gives: str) -> None:
    """One that its step declares, and the value of a variable that is known to be secret."""
    made = f"https://user:{SECRET}@host" if gives == "url" else SECRET
    name = gives.partition(" ")[0]
    reads = f"""{sys.executable} -c "import json, os; print(json.load(open(os.environ['STEPFLOW_HANDOFFS']))"""
    write(
        tmp_path,
        f"""printf '{{"{name}": "%s"}}' "$MADE" > "$STEPFLOW_HANDOFF" | Gives: {gives} | """
        + ("Env: MADE" if gives != "url" else "Secrets: MADE"),
        f"""{reads}['1']['values']['{name}'])" |tee taken""",
    )
    done = stepflow(tmp_path, "run", "w.md", "--json", MADE=made)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "taken").read_text() == f"{made}\n"
    assert [e["line"] for e in events(done) if e["event"] == "output"] == ["***"]
    (tmp_path / "taken").unlink()
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and made.encode() in path.read_bytes()]
    assert [path.parent.name for path in holding] == ["handed"]
    assert [oct(path.stat().st_mode & 0o777) for path in (*holding, holding[0].parent)] == ["0o600", "0o700"]
    assert ran(tmp_path, MADE=made) == {1: "reused", 2: "reused"}
    assert ran(tmp_path, MADE=f"{made}!") == {1: "done", 2: "done"}
    assert len(list((tmp_path / ".stepflow/chain/handed").iterdir())) == 1
