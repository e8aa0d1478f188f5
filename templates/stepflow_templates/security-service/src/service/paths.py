"""Path patterns as they stand in the platform's policies: exact, or a prefix when they end in `*`."""

from __future__ import annotations

from collections.abc import Iterable


def matches(patterns: Iterable[str], path: str) -> bool:
    """Whether one of the patterns is the path's."""
    return any(path.startswith(each[:-1]) if each.endswith("*") else path == each for each in patterns)
