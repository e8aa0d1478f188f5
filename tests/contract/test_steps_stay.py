"""On every target: whatever is done to a document, what did not change keeps running and is not done again."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from onenode_fixtures import SOME_CLUSTER

pytestmark = pytest.mark.timeout(600)

RECORDED = Path(__file__).parents[1] / "data/recorded/greetings"
GREETER = Path(__file__).parent / "greeter"
HANDLES = {"local": "pids", "docker": "containers", "kubernetes": "pods"}


@dataclass
class Platform:
    """A directory with a document: its steps are services (`A=a`, `A=a:note`) and commands with an effect (`C=!c`)."""

    root: Path
    target: str
    options: tuple[str, ...]
    env: dict[str, str]

    def stepflow(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "stepflow", *arguments],
            cwd=self.root, env=self.env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, *steps: str, title: str = "Greetings") -> None:
        lines = [f"# {title}", ""]
        for number, text in enumerate(steps, 1):
            name, _, what = text.partition("=")
            lines += [f"## Step {number}: {name}", "- RelyPreviousStep: no"]
            if what.startswith("!"):
                lines += ["- Playbook: shell", f"- Prompt: echo {what[1:]} >> effects", ""]
            else:
                service, _, note = what.partition(":")
                lines += ["- Playbook: greeter", f"- Service: {service}", "- Prompt: a service"]
                lines += [f"- Note: {note}"] * bool(note) + [""]
        (self.root / "w.md").write_text("\n".join(lines), encoding="utf-8")

    def run(self, *arguments: str) -> list[str]:
        """Run the document as its plan says; return the titles of the steps that were done."""
        on = ("w.md", "--target", self.target, *self.options, *arguments)
        planned = self.stepflow("plan", *on)
        events = [json.loads(line) for line in self.stepflow("run", *on, "--json").splitlines()]
        assert events[0]["plan"] in planned
        done = {each["step"] for each in events if each["event"] == "step_finished" and each["outcome"] == "done"}
        assert done == {number for number, _, action, _ in events[0]["steps"] if action != "reuse"}
        return [title for number, title, *_ in events[0]["steps"] if number in done]

    def effects(self) -> list[str]:
        """Return the effects of commands since the last call."""
        file = self.root / "effects"
        found = sorted(file.read_text().split()) if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def copies(self, *arguments: str) -> dict[str, list[object]]:
        """Return what runs each service: processes, containers or pods."""
        services = json.loads(self.stepflow("status", "--json", *arguments))["services"]
        return {each["name"]: each[HANDLES[self.target]] for each in services}

    def restore(self) -> None:
        """Put the journal that version 0.1.0 left in place of the one that there is."""
        state = self.root / ".stepflow" / "greetings"
        for file in state.glob("journal.db*"):
            file.unlink()
        text = (RECORDED / f"{self.target}.sql").read_text().replace("{here}", str(self.root))
        db = sqlite3.connect(state / "journal.db")
        db.executescript(text.replace("stepflow-tests", self.options[-1] if self.options else ""))
        db.close()


@pytest.fixture(
    params=[
        pytest.param("local", marks=pytest.mark.platform),
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("kubernetes", marks=SOME_CLUSTER),
    ]
)
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Platform]:
    env, options = {**os.environ}, ()
    if request.param == "kubernetes":
        cluster = request.getfixturevalue("some_cluster")
        env |= cluster.env
        options = ("--context", cluster.context)
    info = tmp_path / "site" / "greeter-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stepflow.playbooks]\ngreeter = greeter:Greeter\n")
    env["PYTHONPATH"] = os.pathsep.join([str(GREETER), str(info.parent), os.environ.get("PYTHONPATH", "")])
    root = tmp_path / "here"
    root.mkdir()
    made = Platform(root, request.param, options, env)
    yield made
    for state in sorted((root / ".stepflow").glob("*/journal.db")):
        made.stepflow("down", "--data", "--name", state.parent.name)


def test_steps_that_move_or_are_renamed_keep_what_they_run_and_repeat_no_effect(platform: Platform) -> None:
    platform.write("A=a", "B=b", "C=!c")
    assert platform.run() == ["A", "B", "C"]
    first = platform.copies()
    assert (sorted(first), platform.effects()) == (["a", "b"], ["c"])

    platform.write("Top=!top", "A=a", "B=b", "C=!c")  # one at the top
    assert (platform.run(), platform.copies(), platform.effects()) == (["Top"], first, ["top"])
    platform.write("Top=!top", "A=a", "Middle=m", "B=b", "C=!c")  # one in the middle
    assert platform.run() == ["Middle"]
    more = platform.copies()
    assert {name: more[name] for name in first} == first
    platform.write("C=!c", "B=b", "Middle=m", "A=a", "Top=!top")  # swapped
    assert (platform.run(), platform.copies(), platform.effects()) == ([], more, [])
    platform.write("C=!c", "Bee=b", "Middle=m", "A=a", "Top=!top")  # renamed
    assert (platform.run(), platform.copies(), platform.effects()) == ([], more, [])
    platform.write("C=!c", "Bee=b", "A=a")  # removed
    assert (platform.run(), platform.copies(), platform.effects()) == ([], first, [])


def test_part_of_a_document_becomes_a_platform_of_its_own_beside_the_first(platform: Platform) -> None:
    platform.write("A=a", "B=b", "C=!c")
    platform.run()
    first = platform.copies()
    platform.write("A=a", "C=!c")
    assert (platform.run(), platform.copies(), platform.effects()) == ([], {"a": first["a"]}, ["c"])
    platform.write("B=b", title="Other")
    assert platform.run("--name", "other") == ["B"]
    assert platform.copies("--name", "greetings") == {"a": first["a"]}
    assert set(platform.copies("--name", "other")) == {"b"}


def test_upgrade_from_the_first_version_replaces_nothing_and_repeats_no_effect(platform: Platform) -> None:
    platform.write("A=a", "B=b", "C=!c")
    platform.run()
    first = platform.copies()
    platform.effects()
    platform.restore()
    assert (platform.run(), platform.copies(), platform.effects()) == ([], first, [])
    platform.restore()
    platform.write("Top=!top", "B=b", "A=a", "C=!c")
    assert (platform.run(), platform.copies(), platform.effects()) == (["Top"], first, ["top"])


def test_step_that_is_accepted_as_unchanged_stays_as_it_is_until_it_changes_again(platform: Platform) -> None:
    platform.write("A=a", "B=b", "C=!c")
    platform.run()
    first = platform.copies()
    platform.effects()
    platform.write("A=a:word", "B=b", "C=!other")
    accepting = ("--accept-unchanged", "1", "--accept-unchanged", "3")
    assert (platform.run(*accepting), platform.copies(), platform.effects()) == ([], first, [])
    assert (platform.run(), platform.copies(), platform.effects()) == ([], first, [])
    platform.write("A=a:other", "B=b", "C=!other")
    assert platform.run() == ["A"]
    assert platform.copies()["b"] == first["b"]
