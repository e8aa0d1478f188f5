"""How large the code is: files, lines, import cycles and rooms, as docs/architecture.md shows them.

python bench/size.py
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
FOLDERS = ("src/stepflow", "playbooks/stepflow_playbooks")
KUBERNETES = "src/stepflow/targets/kubernetes"
FACES = {"__init__", "bundle", "target"}
"""Modules of the Kubernetes target that others import: what is behind them are its rooms."""
LEDGER = "tests/contract/fourth/ledger.py"
"""A complete target."""

Imports = Mapping[str, Iterable[str]]
"""Module -> the modules that it imports."""


def lines(folder: str) -> dict[str, int]:
    """Return the number of lines of each Python file."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return {str(file.relative_to(ROOT)): _lines(file) for file in files}


def imports() -> Imports:
    """Return what each module of stepflow and its playbooks imports of them."""
    graph = grimp.build_graph("stepflow", "stepflow_playbooks")
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def cycles(found: Imports) -> list[str]:
    """Name the pairs of modules that import each other, directly or through others."""
    edges = {one: set(others) for one, others in found.items()}
    reached = {one: _reached(one, edges) for one in edges}
    pairs = ((one, two) for one, others in reached.items() for two in others if one < two)
    return sorted(f"{one} <-> {two}" for one, two in pairs if one in reached.get(two, ()))


def package_cycles(found: Imports) -> list[str]:
    """Name the pairs of packages, or of a package and a module beside it, that import something of each other."""
    edges: dict[str, set[str]] = defaultdict(set)
    for module, others in found.items():
        for other in others:
            one, two = _beside(module, other)
            if one and two:
                edges[one].add(two)
    return cycles(edges)


def rooms() -> list[str]:
    """Name the packages and modules of the Kubernetes target."""
    inside = (each for each in (ROOT / KUBERNETES).iterdir() if each.suffix == ".py" or (each / "__init__.py").exists())
    return sorted(each.stem for each in inside if each.stem not in FACES)


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def _reached(one: str, edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = [one]
    while left:
        new = edges.get(left.pop(), set()) - found
        found |= new
        left += new
    return found


def _beside(module: str, other: str) -> tuple[str, str]:
    """Return the two packages or modules with the same parent that two modules are in; "" if one is in the other."""
    one, two = module.split("."), other.split(".")
    same = next((depth for depth, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1]), -1)
    return (".".join(one[: same + 1]), ".".join(two[: same + 1])) if same >= 0 else ("", "")


def main() -> None:
    """Print the figures."""
    for folder in FOLDERS:
        found = lines(folder)
        longest = max(found, key=lambda name: found[name])
        print(f"{folder}: {len(found)} files, median {statistics.median(found.values()):g} lines")
        print(f"  longest: {longest}, {found[longest]} lines")
    known = imports()
    for what, pairs in (("modules", cycles(known)), ("packages", package_cycles(known))):
        print(f"import cycles between {what}: {len(pairs)}")
        for each in pairs:
            print(f"  {each}")
    print(f"rooms of the Kubernetes target: {len(rooms())}: {', '.join(rooms())}")
    print(f"a complete target: {_lines(ROOT / LEDGER)} lines ({LEDGER})")


if __name__ == "__main__":
    main()
