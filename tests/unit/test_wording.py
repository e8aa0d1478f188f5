"""The words that plain English does without stay out of what people read: prose, messages, comments, docstrings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READ = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", ".github", "docs", "examples", "playbooks", "src"),
    *("templates", "tests", "bench"),
)
SUFFIXES = {".py", ".md", ".jinja", ".html", ".yaml", ".yml", ".js", ".sql", ".toml"}
CACHES = {".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"}

WORDS = re.compile(r"\b(shall|nobody|somebody|whoever|whom|anew|meanwhile|mend(?:s|ed|ing)?)\b", re.IGNORECASE)
IS_NO = re.compile(r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b)", re.IGNORECASE)
NAMED = re.compile(r"(?:^|_)(shall|nobodys?|somebody|whoever|whom|anew|meanwhile|mend(?:s|ed|ing)?)(?=_|$)")
OPENING = re.compile(r"\s*(?:Gives?|Says?|Tells? whether)\b")
CODE = re.compile(r"``.+?``|`[^`\n]*`")


def findings(path: Path) -> list[str]:
    """Return each word or form to avoid in a file, as `line: what`."""
    text = path.read_text(encoding="utf-8")
    return list(_python(text) if path.suffix == ".py" else _plain(text))


def _plain(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        yield from _prose(number, line)
        if '"""' in line and OPENING.match(line.partition('"""')[2]):  # a template of Python
            yield f"{number}: a docstring that opens with `{line.strip()[3:20]}`"


def _python(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from _prose(token.start[0], token.string)
    inside: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            if OPENING.match(node.value.value):
                yield f"{node.lineno}: a docstring that opens with `{node.value.value[:16]}`"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from (f"{node.lineno}: {found[1]} in `{node.name}`" for found in NAMED.finditer(node.name))
        elif isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            yield from _prose(node.lineno, "".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield from _prose(node.lineno, node.value)


def _prose(line: int, text: str) -> Iterator[str]:
    """Find words outside of code; a text without a space is a name (the account `nobody`), not prose."""
    if " " not in text.strip():
        return
    words = CODE.sub("`x`", text)
    yield from (f"{line}: {found[0]}" for found in WORDS.finditer(words))
    yield from (f"{line}: {words[found.start() :][:24]}" for found in IS_NO.finditer(words))


def files(*places: str) -> list[Path]:
    """Return the files to read at or below the places."""
    found = [item for place in places for item in [ROOT / place, *sorted((ROOT / place).rglob("*"))]]
    return [
        item
        for item in found
        if item.is_file()
        and (item.suffix in SUFFIXES or item.name == "Makefile")
        and not CACHES & set(item.relative_to(ROOT).parts)
        and item != Path(__file__)
    ]


def test_the_words_to_avoid_stay_out() -> None:
    """No file that people read has them; docs/wording.md says what to write instead."""
    wrong = [f"{item.relative_to(ROOT)}:{found}" for item in files(*READ) for found in findings(item)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "# this shall not pass",
        'raise ValueError(f"`{x}` is no number")',
        'x = "a key that " "is no key"',
        'def f():\n    """Give the number."""',
        'def f():\n    """Tell whether it runs."""',
        'def f():\n    """Return it.\n\n    Nobody else does.\n    """',
        "def test_nobody_is_left() -> None: ...",
    ],
)
def test_comments_docstrings_and_messages_of_python_are_read(source: str) -> None:
    """What a person reads in a source file is held to the rules, however it is written; a test's name is a sentence."""
    assert list(_python(source))


@pytest.mark.parametrize(
    "source",
    ["nobody = whom(meanwhile)", 'user = "nobody"', '"""Runs as `nobody`; there is no other, is no longer root."""'],
)
def test_names_and_code_are_not_prose(source: str) -> None:
    """Identifiers, a bare name in quotes and what stands in backticks may be anything."""
    assert not list(_python(source))
