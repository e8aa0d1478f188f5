"""What is installed together fits together."""

from __future__ import annotations

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


def test_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "--hash=sha256:" in lock
    assert not [line for line in lock.splitlines() if "://" in line or line.startswith(("-i", "--index", "--extra"))]
