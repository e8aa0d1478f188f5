"""A target that another distribution brings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepflow.cli import main
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


def _distribution(site: Path, name: str, entry: str, module: str = "") -> None:
    """Put a distribution that offers the target `moon` into the folder."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[stepflow.targets]\nmoon = {entry}\n", "utf-8")
    if module:
        (site / f"{entry.partition(':')[0]}.py").write_text(module, "utf-8")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ValueError('no fuel')\n", "ValueError: no fuel"),
        ("import sys\nsys.exit(7)\n", "SystemExit: 7"),
        ("x = (\n", "SyntaxError: '(' was never closed (broken_moon.py, line 1)"),
        ("OTHER = 1\n", "AttributeError: module 'broken_moon' has no attribute 'PROVIDER'"),
    ],
)
def test_a_target_that_cannot_be_loaded_breaks_only_itself(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str, said: str
) -> None:
    _distribution(site, "a-moon", "broken_moon:PROVIDER", module)
    monkeypatch.delitem(sys.modules, "broken_moon", raising=False)
    assert main(["run", "--help"]) == 0
    capsys.readouterr()
    assert main(["plan", "w.md", "--target", "moon"]) == 3
    assert capsys.readouterr().err == (
        f"error: the target `moon` of `a-moon` cannot be loaded: {said}\n"
        "hint: fix `broken_moon:PROVIDER`, or uninstall `a-moon`\n"
    )
    assert main(["plan", "there-is-no-such.md"]) == 2


def test_a_target_that_two_packages_offer_is_refused_with_both_names(site: Path) -> None:
    _distribution(site, "a-moon", "a_moon:PROVIDER")
    _distribution(site, "b-moon", "b_moon:PROVIDER")
    with pytest.raises(MachineError) as refused:
        provider("moon")
    packages = "`a-moon` (a_moon:PROVIDER) and `b-moon` (b_moon:PROVIDER)"
    assert refused.value.message == f"two packages offer a target `moon`: {packages}"
    assert refused.value.hint == "uninstall or rename one of them"


def test_an_option_that_a_command_has_itself_is_left_to_the_command(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = (
        "from stepflow.targets.contract import Option, Provider\n"
        "PROVIDER = Provider('moon', lambda _: None, lambda _: (), options=(Option('target', 'X', 'x'),))\n"
    )
    _distribution(site, "a-moon", "moon_of_options:PROVIDER", module)
    assert main(["run", "--help"]) == 0
    assert "With --target moon" not in capsys.readouterr().out
