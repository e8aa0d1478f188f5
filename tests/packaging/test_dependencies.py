"""What is installed together fits together."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TEMPLATES = sorted(ROOT.glob("templates/stepflow_templates/*/pyproject.toml"))


def _names(requirements: list[str]) -> set[str]:
    return {Requirement(each).name.lower() for each in requirements}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.parent.name)
def test_whatever_a_service_imports_comes_with_the_extra_local(template: Path) -> None:
    """Otherwise its first start would wait for an environment of its own to be installed."""
    service = tomllib.loads(template.read_text("utf-8"))["project"]
    ours = _names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["local"])
    assert _names(service["dependencies"]) - {"chassis"} - ours == set()


@pytest.mark.parametrize("extra", ["local", "docker", "kubernetes"])
def test_whatever_a_built_in_playbook_imports_comes_with_each_target(extra: str) -> None:
    """Its checks run beside the command line, on every target."""
    files = (ROOT / "playbooks").rglob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    imported = {name.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
    absolute = (node for node in nodes if isinstance(node, ast.ImportFrom) and not node.level)
    imported |= {(node.module or "").partition(".")[0] for node in absolute}
    foreign = imported - sys.stdlib_module_names - {"stepflow", "stepflow_playbooks"}
    ours = _names(PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra])
    brought = {"yaml": "pyyaml", "kubernetes_validate": "kubernetes-validate", "referencing": "jsonschema"}
    assert {brought.get(name, name) for name in foreign} - ours == set()


def test_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "--hash=sha256:" in lock
    assert not [line for line in lock.splitlines() if "://" in line or line.startswith(("-i", "--index", "--extra"))]
