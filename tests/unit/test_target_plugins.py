"""A target that another distribution brings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepflow.errors import MachineError
from stepflow.targets import installed, provider


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that distributions are found in."""
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    yield tmp_path
    installed.cache_clear()


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ("Provides-Extra: moon", "`pip install 'stepflow-moon[moon]'`"),
        ("Provides-Extra: docs", "`pip install 'stepflow-moon'`"),
    ],
)
def test_package_that_a_plugin_lacks_is_installed_with_the_plugin(site: Path, extra: str, hint: str) -> None:
    """Not with an extra of stepflow itself, which has none for it."""
    (site / "moon_target.py").write_text("import a_rocket\n", "utf-8")
    info = site / "stepflow_moon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: stepflow-moon\nVersion: 1.0\n{extra}\n", "utf-8")
    (info / "entry_points.txt").write_text("[stepflow.targets]\nmoon = moon_target:PROVIDER\n", "utf-8")
    with pytest.raises(MachineError) as refused:
        provider("moon")
    assert refused.value.message == "target `moon` needs the package `a_rocket`"
    assert refused.value.hint == hint
