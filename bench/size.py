"""How large the code is: files, lines and import cycles, as docs/architecture.md shows them.

python bench/size.py
"""

from __future__ import annotations

import statistics
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
FOLDERS = ("src/stepflow", "playbooks/stepflow_playbooks")


def lines(folder: str) -> dict[str, int]:
    """Return the number of lines of each Python file."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}


def cycles() -> list[str]:
    """Name the pairs of modules that import each other, directly or through others."""
    graph = grimp.build_graph("stepflow", "stepflow_playbooks")
    reached = {module: graph.find_upstream_modules(module) for module in graph.modules}
    return sorted(f"{one} <-> {two}" for one in reached for two in reached[one] if one < two and one in reached[two])


def main() -> None:
    """Print the figures."""
    for folder in FOLDERS:
        found = lines(folder)
        longest = max(found, key=lambda name: found[name])
        print(f"{folder}: {len(found)} files, median {statistics.median(found.values()):g} lines")
        print(f"  longest: {longest}, {found[longest]} lines")
    print(f"import cycles: {len(found) if (found := cycles()) else 0}")
    for each in found:
        print(f"  {each}")


if __name__ == "__main__":
    main()
