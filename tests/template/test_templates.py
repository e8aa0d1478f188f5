"""Every service template passes its own lint and types as it lies, and its own tests as its playbook renders it.

The rendered Python is the template's, byte for byte, which a test asserts: types are checked once, and tests run once.
"""

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

pytestmark = [pytest.mark.template, pytest.mark.timeout(1260)]

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates" / "stepflow_templates"
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/pyproject.toml"))
CACHE = ROOT / ".mypy_cache" / "templates" / os.environ.get("PYTEST_XDIST_WORKER", "one")  # mypy's cache has one writer
TOOLS: Mapping[str, tuple[str, ...]] = {
    "lint": ("ruff", "check", "--no-cache", "."),
    "format": ("ruff", "format", "--check", "--no-cache", "."),
    "types": ("mypy", f"--cache-dir={CACHE}"),
    "tests": ("pytest", "-q", "-p", "no:cacheprovider", "--durations=5"),
}


@dataclass(frozen=True)
class Rendering(PlaybookContract):
    """The input that the contract suite would test a playbook with."""

    made: Playbook = field()

    def playbook(self) -> Playbook:
        """Return the playbook."""
        return self.made


def rendered(name: str, root: Path) -> Path:
    """Write what the playbook of a template renders (the chassis: along with the user service); give its folder."""
    playbook = installed().load("user-service" if name == "chassis" else name)
    write_tree(root, playbook.render(Rendering(playbook).step()), {})
    return root / name


def sources(folder: Path) -> dict[Path, bytes]:
    """Read the Python, the SQL, the tools' configuration and what images are made by, by relative path."""
    kinds = ("*.py", "*.sql", "*.toml", "*.lock", "Dockerfile*")
    paths = (path for kind in kinds for path in folder.rglob(kind))
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def run(tool: str, folder: Path) -> None:
    """Run a tool as a developer would in that folder; its output is the failure's message."""
    scripts = Path(sys.executable).parent
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    env |= {"PATH": f"{scripts}{os.pathsep}{env['PATH']}"}
    done = subprocess.run(TOOLS[tool], cwd=folder, env=env, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, f"{' '.join(TOOLS[tool])}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("tool", ["lint", "format", "types"])
@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_clean_as_it_lies(name: str, tool: str) -> None:
    run(tool, TEMPLATES / name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_is_the_template_byte_for_byte_and_passes_its_own_tests(name: str, tmp_path: Path) -> None:
    folder = rendered(name, tmp_path)
    assert sources(folder) == sources(TEMPLATES / name)
    run("lint", folder)
    run("format", folder)
    run("tests", folder)
