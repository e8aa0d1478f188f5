"""The folder of what can be fetched again: wheels, and what is known of images."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """Return the user's folder for stepflow's caches, `$XDG_CACHE_HOME/stepflow` or `~/.cache/stepflow`."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache") / "stepflow"
