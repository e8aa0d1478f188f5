"""The wheel alone gives what a checkout gives."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rich
from packaging.metadata import Metadata

from stepflow import DISTRIBUTION, __version__

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(p.name for p in (ROOT / "templates/stepflow_templates").iterdir() if (p / "pyproject.toml").exists())


def _run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def stepflow(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment of its own; its dependencies come from the one that runs the tests."""
    venv = tmp_path_factory.mktemp("venv")
    assert _run(sys.executable, "-m", "venv", "--without-pip", venv).returncode == 0
    python = venv / "bin" / "python"
    installed = _run("uv", "pip", "install", "-q", "--offline", "--no-deps", "--python", python, wheel)
    assert installed.returncode == 0, installed.stderr
    site = _run(python, "-c", "import site; print(site.getsitepackages()[0])").stdout.strip()
    ours = Path(rich.__file__).parents[1]
    # A plain path line adds the packages but runs no .pth file of theirs, so the editable checkout stays out.
    (Path(site) / "dependencies.pth").write_text(f"{ours}\n", encoding="utf-8")
    return venv / "bin" / "stepflow"


@pytest.mark.parametrize("template", TEMPLATES)
def test_wheel_holds_every_template_with_its_tests(wheel: Path, template: str) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for path in ("pyproject.toml", "requirements.lock", "src/", "tests/"):
        assert any(n.startswith(f"stepflow_templates/{template}/{path}") for n in names), path


def test_wheel_holds_what_images_are_built_with(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    dockerfiles = sorted(path.parent.name for path in ROOT.glob("templates/stepflow_templates/*/Dockerfile"))
    assert dockerfiles == [
        n.split("/")[1] for n in sorted(names) if re.fullmatch(r"stepflow_templates/.*/Dockerfile", n)
    ]
    assert "stepflow/targets/building/Dockerfile" in names


def test_metadata_can_be_uploaded(wheel: Path) -> None:
    """Twine refuses metadata newer than 2.4, which is what licence expressions need."""
    archive = zipfile.ZipFile(wheel)
    content = next(archive.read(name) for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    said = Metadata.from_email(content)
    assert (said.metadata_version, said.name, str(said.version)) == ("2.4", DISTRIBUTION, __version__)
    assert said.license_expression == "Apache-2.0"
    assert said.description
    assert said.description_content_type == "text/markdown"


def test_wheel_holds_no_caches(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [n for n in names if "__pycache__" in n or "_cache/" in n or n.endswith(".pyc")] == []


def test_installed_command_runs_a_workflow(stepflow: Path, tmp_path: Path) -> None:
    (tmp_path / "w.md").write_text("# Hello\n\n## Step 1\n- Playbook: shell\n- Prompt: echo hello > made\n", "utf-8")
    done = _run(stepflow, "run", "w.md", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "made").read_text("utf-8") == "hello\n"


def test_installed_command_finds_all_built_in_playbooks(stepflow: Path, tmp_path: Path) -> None:
    listed = _run(stepflow, "playbooks", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    for name in ("service-discovery", "order-service", "orchestration", "shell"):
        assert name in listed.stdout


def test_installed_command_imports_from_the_wheel_and_not_from_the_checkout(stepflow: Path) -> None:
    where = _run(stepflow.parent / "python", "-c", "import stepflow; print(stepflow.__file__)")
    assert str(ROOT / "src") not in where.stdout
