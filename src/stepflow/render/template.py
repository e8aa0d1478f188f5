"""Reads template folders from a package and renders the few files that are Jinja templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from stepflow.errors import PermanentError, UsageError

SUFFIX = ".jinja"
_LEFTOVERS = frozenset({"__pycache__", ".venv", "htmlcov", "build", "dist", "node_modules"})
_KEPT_DOTFILES = frozenset({".dockerignore", ".gitignore", ".env.example"})


def render_template(*names: str, context: Mapping[str, Any], package: str = "stepflow_templates") -> dict[str, bytes]:
    """Render the named folders of a package: relative path (`<folder>/...`, POSIX) -> content, sorted by path.

    A file is copied byte for byte unless its name ends in `.jinja`; then it is rendered (sandboxed, an undefined name
    is an error) and the suffix dropped. Caches and other dotfiles than `.dockerignore`, `.gitignore` and `.env.example`
    are left out. Raises `UsageError` for a folder that the package does not have, `PermanentError` for a template that
    cannot be rendered.
    """
    tree: dict[str, bytes] = {}
    for name in names:
        for path, content in _read(package, name):
            target = path.removesuffix(SUFFIX)
            if target in tree:
                raise PermanentError(f"template `{name}` gives `{target}` twice: with and without `{SUFFIX}`")
            tree[target] = _render(target, content, context) if path.endswith(SUFFIX) else content
    return dict(sorted(tree.items()))


@cache
def _read(package: str, name: str) -> tuple[tuple[str, bytes], ...]:
    """Read a folder once: eight steps share one `chassis`."""
    root = files(package)
    folder = root / name
    if not folder.is_dir() or "/" in name or name.startswith(("_", ".")):
        there = sorted(item.name for item in root.iterdir() if item.is_dir() and not item.name.startswith(("_", ".")))
        raise UsageError(f"`{package}` has no template `{name}`", hint=f"it has: {', '.join(there) or 'none'}")
    return tuple(_walk(folder, name))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        hidden = item.name.startswith(".") and item.name.removesuffix(SUFFIX) not in _KEPT_DOTFILES
        if hidden or item.name in _LEFTOVERS or item.name.endswith((".pyc", ".egg-info")):
            continue
        path = f"{prefix}/{item.name}"
        if item.is_dir():
            yield from _walk(item, path)
        else:
            yield path, item.read_bytes()


def _render(path: str, content: bytes, context: Mapping[str, Any]) -> bytes:
    from jinja2 import (  # noqa: PLC0415 - takes as long as all else that the command line loads
        DictLoader,
        StrictUndefined,
        TemplateError,
        select_autoescape,
    )
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415 - likewise

    environment = SandboxedEnvironment(
        loader=DictLoader({path: content.decode()}),
        undefined=StrictUndefined,
        autoescape=select_autoescape(("html", "htm", "xml", "svg")),
        keep_trailing_newline=True,
    )
    try:
        return environment.get_template(path).render(context).encode()
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        place = f"`{path}{SUFFIX}`" + (f", line {line}" if line else "")
        raise PermanentError(f"the template {place} cannot be rendered: {error.message}") from error
