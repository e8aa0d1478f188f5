"""The distribution's name and version are each said in one place."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from stepflow import DISTRIBUTION, __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOREIGN = re.compile(r"pip install (?:-U )?['\"]?stepflow(?![\w-])")
"""`stepflow` on the package index is another project."""


def test_code_and_project_agree_on_the_name() -> None:
    assert PROJECT["project"]["name"] == DISTRIBUTION
    assert PROJECT["project"]["optional-dependencies"]["all"] == [f"{DISTRIBUTION}[local,docker,kubernetes]"]


def test_source_spells_the_name_once() -> None:
    files = [file for folder in ("src", "playbooks", "templates") for file in (ROOT / folder).rglob("*.py")]
    spelt = [file.relative_to(ROOT) for file in files if DISTRIBUTION in file.read_text("utf-8")]
    assert spelt == [Path("src/stepflow/__init__.py")]


def test_version_comes_from_the_source() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "src/stepflow/__init__.py"}
    assert version(DISTRIBUTION) == __version__


def test_no_page_and_no_message_installs_the_package_of_a_stranger() -> None:
    folders = ("src", "playbooks", "templates", "docs", "examples", "tests", "bench", ".github")
    files = [*ROOT.glob("*.md"), *(file for folder in folders for file in (ROOT / folder).rglob("*"))]
    texts = {file: file.read_bytes().decode("utf-8", "replace") for file in files if file.is_file()}
    assert [str(file.relative_to(ROOT)) for file, text in texts.items() if FOREIGN.search(text)] == []
