"""Each folder holds a document and what `stepflow check` says of it, to the letter.

`UPDATE_GOLDEN=1 python -m pytest tests/golden` records the output again; read the difference before you commit it.
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from stepflow.cli.check import as_text
from stepflow.registry import Registry, check

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/workflow.md"))
REGISTRY = Registry((EntryPoint("shell", "stepflow_playbooks.shell.playbook:Shell", "stepflow.playbooks"),))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_said_of_a_document_stays_as_it_was_approved(case: Path) -> None:
    text = (case / "workflow.md").read_text()
    workflows, found = check(text, "workflow.md", REGISTRY)
    said = as_text("workflow.md", workflows, [problem for problem in found if problem.code != "SF307"]) + "\n"
    approved = case / "expected.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        approved.write_text(said)
    assert said == approved.read_text()
