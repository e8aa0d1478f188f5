"""A run that is killed after any write of its journal leaves no file for ever, whatever the document says next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

KILLER = Path(__file__).with_name("killed_run.py")
WRITES = 12
"""How often a run of two such steps writes its journal (at its begin and end, four times for each step), and commits
what the steps write at the same time."""

PLAYBOOK = """\
from stepflow.playbook import Playbook, Settings
from stepflow.workload import Declaration

class PagesSettings(Settings):
    names: list[str] = []

class Pages(Playbook):
    name, summary, settings = "pages", "Files and nothing else.", PagesSettings

    def render(self, step):
        return {f"{name}/page.txt": f"{step.prompt} {name}".encode() for name in step.settings.names}

    def declare(self, step):
        return Declaration()
"""


def document(*steps: tuple[str, str, str]) -> str:
    lines = ["# Site", ""]
    for number, (name, pages, prompt) in enumerate(steps, 1):
        lines += [f"## Step {number}: {name}", "- Playbook: pages", "- RelyPreviousStep: no"]
        lines += [f"- Names: {pages}", f"- Prompt: {prompt}", ""]
    return "\n".join(lines)


def tree(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in found.items()}


@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_tree_is_that_of_a_fresh_run_after_a_kill_and_another_document(tmp_path: Path, at: int) -> None:
    info = tmp_path / "site/pages-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "pages.py").write_text(PLAYBOOK)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pages\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stepflow.playbooks]\npages = pages:Pages\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(info.parent), os.environ.get("PYTHONPATH", "")])}
    (tmp_path / "here").mkdir()
    (tmp_path / "fresh").mkdir()

    def run(where: str, text: str, when: str = "never", at: int = 0) -> int:
        (tmp_path / where / "w.md").write_text(text, encoding="utf-8")
        command = [sys.executable, str(KILLER), when, str(at), "run", "w.md"]
        return subprocess.run(
            command, cwd=tmp_path / where, env=env, capture_output=True, timeout=120, check=False
        ).returncode

    assert run("here", document(("Docs", "guide, faq", "old"), ("Blog", "post, about", "old"))) == 0
    assert (
        run("here", document(("Docs", "guide, news", "new"), ("Blog", "post, links", "new")), "after", at)
        == -signal.SIGKILL
    )
    last = document(("Docs", "guide, help", "last"))
    assert (run("here", last), run("fresh", last)) == (0, 0)
    assert tree(tmp_path / "here/site") == tree(tmp_path / "fresh/site")
    assert sorted(tree(tmp_path / "here/site")) == ["guide", "guide/page.txt", "help", "help/page.txt"]
