"""The templates that come with the service, one TOML file each: `[channel.locale]` tables and the variables."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from service.rendering import Source, Variable


@dataclass(frozen=True, slots=True)
class Builtin:
    """One template of the release."""

    name: str
    channel: str
    locale: str
    source: Source


def builtins() -> Iterator[Builtin]:
    """Read every template of the release, in a stable order."""
    for entry in sorted(files(__name__).iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".toml"):
            continue
        document = tomllib.loads(entry.read_text(encoding="utf-8"))
        variables = tuple(Variable(name) for name in document["variables"])
        for channel in ("email", "sms", "push"):
            for locale, part in document.get(channel, {}).items():
                text, html = part["text"].lstrip("\n"), part.get("html", "").lstrip("\n")
                yield Builtin(document["name"], channel, locale, Source(part.get("subject", ""), text, html, variables))
