"""Path patterns of the platform's policies: exact, or a prefix when they end in `*`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DIRECT = re.compile(r"/services/[^/]+(?=/)")


def matches(patterns: Iterable[str], path: str) -> bool:
    """Return whether a pattern matches the path, at the gateway's root or below `/services/<service>`."""
    path = _DIRECT.sub("", path, count=1) if path.startswith("/services/") else path
    return any(path.startswith(each[:-1]) if each.endswith("*") else path == each for each in patterns)
