"""Brings an image that was built here into a registry, where other machines get it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stepflow.errors import MachineError, PermanentError
from stepflow.targets.contract import Progress
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError

_DENIED = ("denied", "unauthorized", "authentication required", "no basic auth", "insufficient_scope")
_CONTAINERD = "io.containerd.snapshotter.v1"
_AWAY = ("dial tcp", "connection refused", "no such host", "timeout", "x509", "server gave http response")


async def push(engine: Engine, reference: str, folder: str, log: Path, say: Callable[[Progress], None]) -> None:
    """Push an image, unless the registry has answered for it before; what it says goes into the log.

    `pushed` then gives its digest. Raises `PermanentError` when the registry refuses it, `MachineError` when the
    registry is out of reach.
    """
    repository, _, tag = reference.rpartition(":")
    if await pushed(engine, reference) and not await _digests_at_once(engine):
        return
    what = f"image of {folder}"
    say(Progress(what, f"pushing to {repository}"))
    try:
        with log.open("a", encoding="utf-8") as lines:
            async for item in engine.stream(lambda api: api.push(repository, tag=tag, stream=True, decode=True)):
                if "error" in item:
                    raise _failure(reference, str(item["error"]), log)
                if item.get("progressDetail"):
                    size = str(item.get("progress", "")).rpartition("]")[2].strip()
                    say(Progress(what, f"{item['status']} {item.get('id', '')} {size}".strip()))
                elif "status" in item:
                    lines.write(f"{item.get('id', '')} {item['status']}\n".lstrip())
    except EngineRefusedError as error:
        raise _failure(reference, error.text, log) from error


async def pushed(engine: Engine, reference: str) -> str:
    """Return the reference by digest, `registry.example/shop/orders@sha256:…`, of an image that `push` was done with.

    "" for one that it was not done with, where the engine knows no digest before.
    """
    found = await engine.ask(lambda api: api.inspect_image(reference))
    repository = reference.rpartition(":")[0]
    return next((text for text in found.get("RepoDigests") or () if text.partition("@")[0] == repository), "")


async def _digests_at_once(engine: Engine) -> bool:
    """Return whether the engine keeps images in containerd, where each has its digest before it is pushed anywhere."""
    return _CONTAINERD in [kind for _, kind in (await engine.info()).get("DriverStatus") or ()]


def _failure(reference: str, text: str, log: Path) -> PermanentError | MachineError:
    what = f"`{reference}` cannot be pushed"
    registry = reference.partition("/")[0]
    low = text.lower()
    if any(sign in low for sign in _DENIED):
        hint = f"`docker login {registry}`, then `stepflow resume`; may you write to that repository?"
        return PermanentError(f"{what}: the registry rejected the credentials: {text}", hint=hint, log=str(log))
    if any(sign in low for sign in _AWAY):
        hint = "is `--registry` right, and does the engine reach it?"
        return MachineError(f"{what}: the registry `{registry}` is out of reach: {text}", hint=hint, log=str(log))
    return PermanentError(f"{what}: {text}", hint="is `--registry` right?", log=str(log))
