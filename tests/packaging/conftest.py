"""The wheel under test: built from this checkout, or the one that is about to be released."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that `STEPFLOW_TEST_WHEEL` names, or build one."""
    if named := os.environ.get("STEPFLOW_TEST_WHEEL"):
        return Path(named).resolve(strict=True)
    target = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT))
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    return next(target.glob("stepflow_cli-*.whl"))
