"""The texts of a platform's secrets: this machine's, and those that only the cluster still has, which are read back."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.manifests.secrets import PASSWORD, RequiredSecret
from stepflow.targets.kubernetes.state.snapshot import ClusterState


def texts(folder: Path) -> Mapping[str, str]:
    """Read the secrets that this machine has, by name."""
    files = (file for file in folder.glob("*") if file.is_file() and not file.name.startswith("."))
    return {file.name: file.read_text(encoding="utf-8", errors="replace") for file in files}


def read_back(seen: ClusterState, required: Iterable[RequiredSecret]) -> Mapping[str, str]:
    """Return the secrets that the cluster has and this machine lacks, by name; servers accept only these.

    Raises `PermanentError` for one that is not text.
    """
    found: dict[str, str] = {}
    for each in required:
        there = seen.named("Secret", each.secret)
        if each.password not in seen.secrets and there is not None:
            text = password(each.shape, _text(there, each.key))
            found |= {each.password: text} if text else {}
    return found


def _text(secret: Object, key: str) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except UnicodeDecodeError as error:
        name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
        hint = f"`kubectl -n {namespace} delete secret {name}` if it is not needed, then `stepflow resume`"
        raise PermanentError(f"the key `{key}` of the Secret `{name}` is not text", hint=hint) from error


def password(shape: str, text: str) -> str:
    """Take the password out of what was made of it by a shape; "" when it was made in another way."""
    before, _, after = shape.partition(PASSWORD)
    if not (text.startswith(before) and text.endswith(after)):
        return ""
    return text[len(before) : len(text) - len(after)]
