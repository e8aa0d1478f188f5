"""The texts of a platform's secrets: this machine's, and those that only the cluster still has, which are read back."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.targets.kubernetes.client import Client
from stepflow.targets.kubernetes.kinds import Object
from stepflow.targets.kubernetes.manifests.names import OURS
from stepflow.targets.kubernetes.manifests.secrets import PASSWORD, RequiredSecret
from stepflow.targets.secretfiles import inside
from stepflow.targets.wholefile import write_once


async def read_back(
    client: Client, namespace: str, number: str, folder: Path, required: Iterable[RequiredSecret]
) -> None:
    """Write down the secrets that the cluster has and this machine lacks; servers know the old ones, no new ones.

    `number` is the platform's id: a Secret of somebody else's is not read.
    """
    lacking = [each for each in required if not (folder / inside(each.password)).exists()]
    for each in lacking:
        there = await client.get("v1", "Secret", each.secret, namespace)
        if there is None or (there["metadata"].get("labels") or {}).get(OURS) != number:
            continue
        text = password(each.shape, _text(there, each.key))
        if text:
            write_once(folder / inside(each.password), text)


def _text(secret: Object, key: str) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except UnicodeDecodeError as error:
        name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
        hint = f"`kubectl -n {namespace} delete secret {name}` if nobody needs it, then `stepflow resume`"
        raise PermanentError(f"the key `{key}` of the Secret `{name}` is no text", hint=hint) from error


def password(shape: str, text: str) -> str:
    """Take the password out of what was made of it by a shape; "" when it was made in another way."""
    before, _, after = shape.partition(PASSWORD)
    if not (text.startswith(before) and text.endswith(after)):
        return ""
    return text[len(before) : len(text) - len(after)]
