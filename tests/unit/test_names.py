"""One word is one thing: a class, or a type that has a name, is defined once in stepflow and its playbooks."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALIKE: Mapping[str, str] = {
    "Change": "what is needed to execute an action, on Docker and on Kubernetes",
    "Dumper": "a writer's own style of YAML, which the library wants as a subclass of its `Dumper`",
    "Executor": "the protocol of the loop that converges, and what each target has for it",
    "Reply": "what a readiness probe was answered, on this machine and in a container",
    "Unit": "the protocol of what is converged in one go, and what each target has for it",
    "View": "what a workload's references are where it runs, on each target",
    "Where": "what a comparison needs besides what is desired and what is observed, on each target",
}
"""Names that each target has for the same thing, and what that is."""


def defined(source: str) -> Iterator[str]:
    """Yield the names of classes, and of types at the top of a module, without their underscore."""
    tree = ast.parse(source)
    yield from (node.name.lstrip("_") for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and _is_type(target.id.lstrip("_")):
            yield target.id.lstrip("_")


def _is_type(name: str) -> bool:
    return name[:1].isupper() and any(letter.islower() for letter in name)


def twice(sources: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for file, source in sources.items():
        for name in defined(source):
            found[name].append(file)
    return {name: files for name, files in found.items() if len(files) > 1}


@pytest.fixture(scope="module")
def names() -> dict[str, list[str]]:
    """Return the names that are defined more than once, and where."""
    files = [file for folder in ("src", "playbooks") for file in sorted((ROOT / folder).rglob("*.py"))]
    return twice({str(file.relative_to(ROOT)): file.read_text("utf-8") for file in files})


def test_no_word_is_two_things(names: dict[str, list[str]]) -> None:
    assert {name: files for name, files in names.items() if name not in ALIKE} == {}


def test_what_is_alike_on_several_targets_is_still_defined_on_several(names: dict[str, list[str]]) -> None:
    assert ALIKE.keys() - names.keys() == set()


def test_a_word_for_two_things_is_found_private_or_not_and_as_a_name_of_a_type() -> None:
    sources = {"a.py": "class Platform: ...\nSay = int\nLIMIT = 1", "b.py": "class _Platform: ...\nLIMIT = 2"}
    assert twice(sources) == {"Platform": ["a.py", "b.py"]}
    assert twice({**sources, "c.py": "_Say: type = str"}) == {"Platform": ["a.py", "b.py"], "Say": ["a.py", "c.py"]}
