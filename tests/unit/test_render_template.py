"""Rendering template folders: copied byte for byte, but for the few files that are Jinja."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepflow.errors import PermanentError, UsageError
from stepflow.render import render_template


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Make an importable package with two template folders, with a name of its own in each test."""
    name = f"templates_of_{abs(hash(request.node.nodeid))}"
    files = {
        "__init__.py": b"",
        "one/plain.py": b"x = '{{ not rendered }}'\n",
        "one/README.md.jinja": b"# {{ title }}\n",
        "one/page.html.jinja": b"<p>{{ title }}</p>\n",
        "one/tests/test_it.py": b"",
        "one/__pycache__/plain.pyc": b"\0",
        "one/.mypy_cache/x": b"",
        "one/.dockerignore": b".venv\n",
        "two/data.bin": bytes(range(256)),
    }
    for path, content in files.items():
        (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / path).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_folders_are_copied_and_only_jinja_files_rendered(package: str) -> None:
    assert render_template("two", "one", context={"title": "A & B"}, package=package) == {
        "one/.dockerignore": b".venv\n",
        "one/README.md": b"# A & B\n",
        "one/page.html": b"<p>A &amp; B</p>\n",
        "one/plain.py": b"x = '{{ not rendered }}'\n",
        "one/tests/test_it.py": b"",
        "two/data.bin": bytes(range(256)),
    }


def test_text_of_the_document_is_data_and_never_a_template(package: str) -> None:
    rendered = render_template("one", context={"title": "{{ 7 * 7 }}{% for %}"}, package=package)
    assert rendered["one/README.md"] == b"# {{ 7 * 7 }}{% for %}\n"


def test_a_name_that_is_not_given_is_an_error_with_its_place(package: str) -> None:
    with pytest.raises(
        PermanentError, match=r"the template `one/README.md.jinja` cannot be rendered: 'title' is undefined"
    ):
        render_template("one", context={}, package=package)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ok\n{% if %}", r"`one/f.jinja`, line 2 cannot"),
        ("{{ ''.__class__.mro() }}", "is unsafe"),
    ],
)
def test_a_broken_or_unsafe_template_is_an_error(package: str, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / package / "one/f.jinja").write_text(text)
    with pytest.raises(PermanentError, match=said):
        render_template("one", context={"title": ""}, package=package)


def test_a_file_beside_its_own_template_is_an_error(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "one/README.md").write_text("")
    with pytest.raises(PermanentError, match=r"template `one` gives `one/README.md` twice"):
        render_template("one", context={"title": ""}, package=package)


@pytest.mark.parametrize("name", ["three", "one/tests", "..", "__pycache__"])
def test_an_unknown_template_is_said_with_those_there_are(package: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"`{package}` has no template") as raised:
        render_template(name, context={}, package=package)
    assert raised.value.hint == "it has: one, two"
