"""Makes an image be here: the very one if it is, the one of the same tag that was loaded by hand, or a pulled one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stepflow.errors import PermanentError, StepflowError
from stepflow.targets import Progress
from stepflow.targets.engine.client import Engine
from stepflow.targets.engine.errors import GONE, RefusedError, no_space
from stepflow.targets.images import Image

_DENIED = ("denied", "unauthorized", "authentication required", "no basic auth")


@dataclass(frozen=True, slots=True)
class Here:
    """An image on the engine: how to name it, and its id."""

    reference: str
    id: str  # `sha256:...`


async def present(engine: Engine, image: Image, say: Callable[[Progress], None]) -> Here:
    """Give an image that is on the engine; pulls it where it is not.

    What was loaded by hand (`docker load`) has no digest: the image with the right tag is taken then, with a remark
    when it is known to be another one. Raises `PermanentError` when it can be had neither way.
    """
    by_digest = Image(image.repository, digest=image.digest)
    if image.digest and (found := await _inspect(engine, str(by_digest))):
        return Here(str(by_digest), found["Id"])
    by_tag = Image(image.repository, image.tag or "latest")
    if (image.tag or not image.digest) and (found := await _inspect(engine, str(by_tag))):
        others = [text.partition("@")[2] for text in found.get("RepoDigests") or ()]
        if image.digest and others:
            said = f"`{by_tag}` on this engine is {others[0][:19]}, not {image.digest[:19]}: it is used as it is"
            say(Progress(said, remark=True))
        return Here(str(by_tag), found["Id"])
    wanted = by_digest if image.digest else by_tag
    await _pull(engine, image, wanted, say)
    found = await _inspect(engine, str(wanted))
    if found is None:
        raise PermanentError(f"the image `{image}` was pulled and is not there", hint=f"`docker pull {wanted}`")
    return Here(str(wanted), found["Id"])


async def _inspect(engine: Engine, reference: str) -> dict[str, str] | None:
    try:
        found: dict[str, str] = await engine.ask(lambda api: api.inspect_image(reference))
    except RefusedError as error:
        if error.status == GONE:
            return None
        raise
    return found


async def _pull(engine: Engine, image: Image, wanted: Image, say: Callable[[Progress], None]) -> None:
    what = f"image {image.repository}:{image.tag}" if image.tag else f"image {image.repository}"
    say(Progress(what, "pulling"))
    which = wanted.digest or wanted.tag
    try:
        async for item in engine.stream(lambda api: api.pull(wanted.repository, tag=which, stream=True, decode=True)):
            if "error" in item:
                raise _failure(image, wanted, str(item["error"]))
            if "id" in item and item.get("progress"):
                say(Progress(what, f"{item['status']} {item['id']} {item['progress'].rpartition(']')[2].strip()}"))
    except RefusedError as error:
        raise _failure(image, wanted, error.text) from error


def _failure(image: Image, wanted: Image, text: str) -> StepflowError:
    if full := no_space(text, what=f"the image `{image}` cannot be pulled"):
        return full
    tag = Image(image.repository, image.tag or "latest")
    if any(sign in text.lower() for sign in _DENIED):
        host = image.repository.partition("/")[0]
        login = f"`docker login {host}`" if "." in host or ":" in host else "`docker login`"
        hint = f"is the name right? {login} if it is a private one, then run again"
    else:
        hint = (
            f"with a network `docker pull {wanted}`; without one `docker load` an archive of `{tag}`, or name an image "
            f"that is here with `--base-image` or `--image`"
        )
    return PermanentError(f"the image `{image}` is not here and cannot be pulled: {text}", hint=hint)
