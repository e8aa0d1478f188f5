"""How two fingerprints of a step differ, in words: the causes that a plan gives."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

_SHOWN = 3  # changed components named before "and N more"


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Describe the components of a fingerprint that differ."""
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    said = [change(key, old.get(key), new.get(key)) for key in islice(keys, _SHOWN)]
    return [*said, f"and {len(keys) - _SHOWN} more changes"] if len(keys) > _SHOWN else said


def change(key: str, old: str | None, new: str | None) -> str:
    """Describe how one component differs; None: it is absent."""
    kind, _, name = key.partition(":")
    happened = "added" if old is None else "removed" if new is None else "changed"
    said = f"{kind} `{name}` {happened}" if name else f"{kind} {happened}"
    match kind:
        case "template":
            said = f"template {happened}: {name}"
        case "edited":
            said = f"edited by you: {name}" if new is not None else f"no longer edited by you: {name}"
        case "feature":
            said = f"feature `{name}` {'selected' if old is None else 'no longer selected'}"
        case "gives":
            said = f"what it hands off is `{new}` now" if new else f"what it hands off is no longer `{old}`"
        case "replicas":
            said = f"`{name}` scaled {old or 1} -> {new or 1}"
        case "option" if old is None or new is None:
            said = f"option `{name}` " + ("no longer set" if new is None else f"set to {new}")
        case "field" | "playbook" | "target" | "option":
            said += f" {' -> '.join(value for value in (old, new) if value is not None)}"
        case _:
            pass
    return said
