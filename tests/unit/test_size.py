"""What imports what has no cycle, of modules or of packages, and the figures of the map are those that are counted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "bench"))

import size  # noqa: E402 - found in bench/

MAP = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def imports() -> size.Imports:
    return size.imports()


def test_no_two_modules_import_each_other(imports: size.Imports) -> None:
    assert size.cycles(imports) == []


def test_no_two_packages_import_each_other(imports: size.Imports) -> None:
    assert size.package_cycles(imports) == []


def test_cycle_of_packages_is_found_where_no_two_modules_import_each_other() -> None:
    found = {"a.x.one": ["a.y.one"], "a.y.two": ["a.z", "a.x"], "a.z": ["a.x.two"], "a.x.two": [], "a.y.one": []}
    assert size.cycles(found) == []
    assert size.package_cycles(found) == ["a.x <-> a.y", "a.x <-> a.z", "a.y <-> a.z"]
    assert size.package_cycles({"a.x.one": ["a.x"], "a.x": ["a.x.two"], "a.x.two": ["a.y"]}) == []


def test_map_names_each_room_of_the_kubernetes_target_and_how_long_a_complete_target_is() -> None:
    (rooms,) = [line for line in MAP.splitlines() if line.startswith("| rooms of the Kubernetes target")]
    assert sorted(rooms.split("|")[2].split("`")[1::2]) == size.rooms()
    assert f"| {len(size.rooms())} packages and modules: " in rooms
    assert f"| a complete target | {size.lines('tests/contract/fourth')[size.LEDGER]} lines (`{size.LEDGER}`)" in MAP
