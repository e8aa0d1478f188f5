"""Every Dockerfile is clean to hadolint, as are the lines of shell in it to the shellcheck that it brings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.template

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(
    path for folder in ("templates", "src") for path in (ROOT / folder).rglob("Dockerfile") if path.is_file()
)
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")


def test_all_dockerfiles_are_found() -> None:
    assert len(DOCKERFILES) >= 9


@pytest.mark.skipif(HADOLINT is None, reason="hadolint has a wheel for Linux only, and is not on the PATH")
@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_a_dockerfile_is_clean_to_hadolint(file: Path) -> None:
    command = [HADOLINT or "", "--no-color", "--failure-threshold=style", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
