"""The requirements of the sources in a rendered folder: the dependencies of its `pyproject.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

from stepflow.errors import PermanentError


def requirements(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Read the dependencies of `pyproject.toml` files, by path. Raises `PermanentError` for a broken one."""
    found: set[str] = set()
    for path, content in files.items():
        try:
            document = tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PermanentError(f"`{path}` is not valid TOML: {error}", hint=f"fix `{path}`") from error
        found.update(document.get("project", {}).get("dependencies", ()))
    return tuple(sorted(found))
