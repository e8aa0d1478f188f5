"""Which features of a playbook a prompt asks for, and with which of its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from stepflow.playbook import Feature

DEFAULT = "default"


def select(features: Iterable[Feature], prompt: str) -> Mapping[str, str]:
    """Return the features that are on, each with the words of the prompt that selected it, or `default`.

    A feature is on when the prompt names it with one of its words, or when it is `always`. Only a playbook without any
    `always` feature, asked for with a prompt that names none, gets all of its features: a plain "build an order
    service" builds a whole one. Nothing else is guessed; the typed field `Features` overrides the prompt altogether.
    """
    offered = tuple(features)
    chosen: dict[str, str] = {}
    for feature in offered:
        words = named(feature, prompt)
        if words:
            chosen[feature.name] = ", ".join(words)
        elif feature.always:
            chosen[feature.name] = DEFAULT
    return chosen or dict.fromkeys((feature.name for feature in offered), DEFAULT)


def named(feature: Feature, prompt: str) -> tuple[str, ...]:
    """Return the words of the prompt that name a feature, verbatim, each once, without parts of another."""
    found = (match.group(0) for word in feature.words if word.strip() for match in _pattern(word).finditer(prompt))
    words = tuple(dict.fromkeys(" ".join(each.split()) for each in found))
    return tuple(each for each in words if not any(each in other and each != other for other in words))


def _pattern(word: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in re.split(r"[-\s]+", word) if part]
    return re.compile(r"(?<!\w)" + r"(?:[-\s]+)?".join(parts) + r"(?!\w)", re.IGNORECASE)
