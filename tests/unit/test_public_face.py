"""What plugin authors may import is what the docs list."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from stepflow import targets

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
LISTED = {
    module: sorted(re.findall(r"`(\w+)`", names))
    for module, names in re.findall(r"^- `([\w.]+)`: (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_the_page_lists_the_modules_for_authors_of_playbooks_and_of_targets() -> None:
    assert set(LISTED) == {
        "stepflow.errors",
        "stepflow.handoff",
        "stepflow.playbook",
        "stepflow.render",
        "stepflow.targets.actions",
        "stepflow.targets.contract",
        "stepflow.targets.converge",
        "stepflow.targets.kubernetes.bundle",
        "stepflow.targets.resolution",
        "stepflow.targets.resolved",
        "stepflow.targets.secretfiles",
        "stepflow.testing",
        "stepflow.workload",
    }


@pytest.mark.parametrize("module", LISTED)
def test_a_module_exports_what_the_page_lists_and_each_name_exists(module: str) -> None:
    found = import_module(module)
    assert sorted(found.__all__) == LISTED[module]
    assert [name for name in found.__all__ if not hasattr(found, name)] == []


def test_what_a_target_is_has_one_door() -> None:
    assert set(LISTED["stepflow.targets.contract"]) & set(targets.__all__) == set()


def test_the_target_that_the_page_shows_imports_only_what_the_page_lists() -> None:
    tree = ast.parse((PAGE.parents[1] / "tests" / "contract" / "fourth" / "ledger.py").read_text(encoding="utf-8"))
    taken = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module]
    ours = {
        (each.module, name.name) for each in taken for name in each.names if str(each.module).startswith("stepflow")
    }
    assert ours - {(module, name) for module, names in LISTED.items() for name in names} == set()


@pytest.mark.parametrize("module", LISTED)
def test_what_a_module_defines_and_does_not_export_begins_with_an_underscore(module: str) -> None:
    found = import_module(module)
    own = {name for name, value in vars(found).items() if getattr(value, "__module__", "") == module}
    hidden = {name for name in own if not name.startswith("_")} - set(found.__all__)
    assert {name for name in hidden if isinstance(vars(found)[name], type) or callable(vars(found)[name])} == set()
