"""What `make mutants` tries, and how it counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import mutants  # noqa: E402 - found in tests/

SAID = mutants.settings()


def test_every_module_that_is_named_or_left_out_is_there() -> None:
    known = {".".join(file.relative_to(mutants.SOURCE).with_suffix("").parts) for file in mutants.SOURCE.rglob("*.py")}
    packages = {f"{name}.__init__" for name in SAID["tests"]} & known
    named = {name for name in SAID["tests"] if f"{name}.__init__" not in packages}
    assert named - known == set()
    assert SAID["left_out"].keys() - known == set()


@pytest.mark.parametrize("tests", SAID["tests"].values(), ids=SAID["tests"])
def test_every_test_that_is_named_is_there(tests: list[str]) -> None:
    assert [each for each in tests if not [*ROOT.glob(each)]] == []


def test_all_modules_of_a_package_are_tried_but_those_that_are_left_out() -> None:
    tried = mutants.modules(SAID)
    files = {f"engine.{file.stem}" for file in (mutants.SOURCE / "engine").glob("*.py")} - {"engine.__init__"}
    assert {module for module in tried if module.startswith("engine.")} == files - SAID["left_out"].keys()
    assert "tests/unit/test_engine_run.py" in tried["engine.run"]  # by a pattern
    assert tried["engine.lock"] == ["tests/unit/test_engine_lock.py"]  # by its own line


def test_row_counts_what_died_what_survived_and_what_no_test_runs() -> None:
    found = mutants.Tried("plan", {"a": "killed", "b": "survived", "c": "no tests", "d": "timeout", "e": "killed"}, 3.2)
    assert str(found) == "| plan | 5 | 3 | 1 | 1 | 60.0% | 3 |"
    assert found.alive == ("b", "c")
    assert mutants.Tried("model", {}, 1).share == 1
