"""Every service template passes its own lint, types and tests: as it lies, and as its playbook renders it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stepflow.playbook import Playbook
from stepflow.registry import installed
from stepflow.render import write_tree
from stepflow.testing import PlaybookContract

pytestmark = [pytest.mark.template, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates" / "stepflow_templates"
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/pyproject.toml"))
CACHE = ROOT / ".mypy_cache" / "templates"
TOOLS: Mapping[str, tuple[str, ...]] = {
    "lint": ("ruff", "check", "--no-cache", "."),
    "format": ("ruff", "format", "--check", "--no-cache", "."),
    "types": ("mypy", f"--cache-dir={CACHE}"),
    "tests": ("pytest", "-q", "-p", "no:cacheprovider"),
}


@dataclass(frozen=True)
class Rendering(PlaybookContract):
    """The input that the contract suite would test a playbook with."""

    made: Playbook = field()

    def playbook(self) -> Playbook:
        """Give the playbook."""
        return self.made


def rendered(name: str, root: Path) -> Path:
    """Write what the playbook of a template renders (the chassis: along with the user service); give its folder."""
    playbook = installed().load("user-service" if name == "chassis" else name)
    write_tree(root, playbook.render(Rendering(playbook).step()), {})
    return root / name


def run(tool: str, folder: Path) -> None:
    """Run a tool as a developer would in that folder; its output is the failure's message."""
    scripts = Path(sys.executable).parent
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    env |= {"PATH": f"{scripts}{os.pathsep}{env['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(TOOLS[tool], cwd=folder, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{' '.join(TOOLS[tool])}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_template_passes_as_it_lies(name: str, tool: str) -> None:
    run(tool, TEMPLATES / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_passes_as_rendered(name: str, tmp_path: Path) -> None:
    folder = rendered(name, tmp_path)
    for tool in TOOLS:
        run(tool, folder)
