"""The requirements of the sources in a rendered folder, and uv, which resolves and installs them."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec

from stepflow.errors import MachineError, PermanentError, install_hint


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


def uv(purpose: str, extra: str) -> str:
    """Return the path of uv. Raises `MachineError` that says what needs it and which extra provides it."""
    if find_spec("uv") is not None:
        from uv import find_uv_bin  # noqa: PLC0415 - only where it is needed

        return os.fspath(find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise MachineError(f"`uv` is needed to {purpose}", hint=install_hint(extra))
    return found
