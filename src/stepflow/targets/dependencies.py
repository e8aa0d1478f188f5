"""What the sources of a rendered folder ask for: the dependencies of its `pyproject.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from stepflow.errors import PermanentError


def requirements(*files: Path) -> tuple[str, ...]:
    """Read the dependencies of the `pyproject.toml` files that are there. Raises `PermanentError` for a broken one."""
    found: set[str] = set()
    for file in files:
        if file.exists():
            try:
                document = tomllib.loads(file.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise PermanentError(f"`{file}` is not valid TOML: {error}", hint=f"mend `{file}`") from error
            found.update(document.get("project", {}).get("dependencies", ()))
    return tuple(sorted(found))
