"""Languages: which template is used when the requested one does not exist (RFC 4647 lookup)."""

from __future__ import annotations

import re

LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")  # language, script, region of BCP 47


def fallbacks(wanted: str, default: str) -> tuple[str, ...]:
    """List the locales to try, best first: for `de-AT` these are `de-AT`, `de`, then the default and its language."""
    chain: list[str] = []
    for locale in (wanted, default):
        subtags = locale.split("-")
        chain += ["-".join(subtags[:count]) for count in range(len(subtags), 0, -1)]
    return tuple(dict.fromkeys(chain))
