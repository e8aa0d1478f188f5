"""The fields that the format knows itself, and how keys are compared."""

from __future__ import annotations

from collections.abc import Mapping

FORMAT_KEYS: Mapping[str, str] = {
    "playbook": "Playbook",
    "relypreviousstep": "RelyPreviousStep",
    "prompt": "Prompt",
    "handoff": "Handoff",
    "repo": "Repo",
    "id": "Id",
}
"""Normalised key -> the key as documents write it."""

_ALIASES: Mapping[str, str] = {"playbookid": "playbook", "relyonpreviousstep": "relypreviousstep"}
_IGNORED = str.maketrans("", "", " \t\u00a0_-")


def normalise_key(key: str) -> str:
    """Return the form in which keys are compared: without case, spaces, `_` and `-`; `Playbook ID` is `playbook`."""
    plain = key.translate(_IGNORED).lower()
    return _ALIASES.get(plain, plain)
