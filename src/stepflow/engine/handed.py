"""Secrets in handoffs: kept in files of the platform that only its owner reads, and referred to everywhere else.

In the journal, in fingerprints and in all that is shown, a secret is `{"$secret": DIGEST}`, with a keyed hash of its
value; the command of a step that takes it gets the value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from stepflow.durable import write_durably
from stepflow.errors import PermanentError
from stepflow.handoff import Handoff, JsonHandoff

REFERENCE = "$secret"
_FOLDER = "handed"


def hidden(values: dict[str, Any], names: Collection[str], secrets: Collection[str], state: Path, key: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return values with a reference in place of each secret, whose value is then in a file.

    Secrets are the values of these names, and every text that has one of the known secrets in it.
    """

    def hide(value: Any) -> Any:  # noqa: ANN401 - likewise
        if isinstance(value, dict):
            return {name: hide(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [hide(inner) for inner in value]
        found = isinstance(value, str) and any(secret in value for secret in secrets)
        return _kept(value, state, key) if found else value

    return {name: _kept(each, state, key) if name in names else hide(each) for name, each in values.items()}


def shown(values: Any, state: Path, into: set[str]) -> Any:  # noqa: ANN401 - likewise
    """Return values with each secret in place of its reference, and add the texts of secrets to a set.

    Raises `PermanentError` for one that is gone.
    """
    if _refers(values):
        secret = _read(state, str(values[REFERENCE]))
        into.update(each for each in _inside(secret) if isinstance(each, str))
        return secret
    if isinstance(values, dict):
        return {name: shown(each, state, into) for name, each in values.items()}
    return [shown(each, state, into) for each in values] if isinstance(values, list) else values


def forget_others(handoffs: Collection[Handoff], state: Path) -> None:
    """Remove the secrets that none of these handoffs refers to."""
    values = [each.values for each in handoffs if isinstance(each, JsonHandoff)]
    used = {str(each[REFERENCE]) for each in _inside(values) if _refers(each)}
    folder = state / _FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in used:
            path.unlink(missing_ok=True)


def _kept(value: Any, state: Path, key: bytes) -> dict[str, str]:  # noqa: ANN401 - likewise
    text = json.dumps(value, sort_keys=True).encode()
    digest = hmac.new(key, text, hashlib.sha256).hexdigest()[:32]
    folder = state / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / digest).exists():
        write_durably(folder / digest, text)
    return {REFERENCE: digest}


def _read(state: Path, digest: str) -> Any:  # noqa: ANN401 - likewise
    try:
        return json.loads((state / _FOLDER / Path(digest).name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = "a secret that another step handed off is gone"
        raise PermanentError(problem, hint="`stepflow resume --from STEP` with the number of that step") from error


def _inside(value: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """Return a value and all that is in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _inside(inner)


def _refers(value: Any) -> bool:  # noqa: ANN401 - likewise
    return isinstance(value, dict) and set(value) == {REFERENCE}
