"""Where uv is: the one that an extra provides, else the user's own."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

from stepflow.errors import MachineError, install_hint


def uv(purpose: str, extra: str) -> str:
    """Return the path of uv. Raises `MachineError` that says what needs it and which extra provides it."""
    if find_spec("uv") is not None:
        from uv import find_uv_bin  # noqa: PLC0415 - only where it is needed

        return os.fspath(find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise MachineError(f"`uv` is needed to {purpose}", hint=install_hint(extra))
    return found
