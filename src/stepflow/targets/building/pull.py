"""Which images the engine has, and how a missing one gets there: pulled, unless one of its tag was loaded by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from stepflow.errors import PermanentError, StepflowError
from stepflow.targets.contract import Progress
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError, no_space
from stepflow.targets.images import Image, reference

_DENIED = ("denied", "unauthorized", "authentication required", "no basic auth")


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image that the engine has."""

    id: str  # `sha256:...`
    tags: tuple[str, ...] = ()  # references with registry and tag: `docker.io/library/nats:2.14`
    digests: tuple[str, ...] = ()  # references with registry and digest
    labels: Mapping[str, str] = field(default_factory=dict)
    created: int = 0  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Here:
    """An image on the engine: how to name it, its id, and its digest where another one was asked for."""

    reference: str
    id: str  # `sha256:...`
    other: str = ""
    pulled: bool = False  # just now


async def listed(engine: Engine) -> tuple[EngineImage, ...]:
    """List the images that the engine has."""
    found = await engine.ask(lambda api: api.images())
    return tuple(
        EngineImage(
            each["Id"],
            _qualified(each.get("RepoTags")),
            _qualified(each.get("RepoDigests")),
            each.get("Labels") or {},
            each.get("Created") or 0,
        )
        for each in found
    )


def _qualified(references: Iterable[str] | None) -> tuple[str, ...]:
    found = (reference(text) for text in references or ())
    return tuple(each.qualified for each in found if each)


def find(image: Image, images: Iterable[EngineImage]) -> Here | None:
    """Find an image among those of the engine: the very one, else the one of its tag; pure.

    What was loaded by hand (`docker load`) has no digest: the image with the right tag is taken then.
    """
    by_digest = Image(image.repository, digest=image.digest)
    by_tag = Image(image.repository, image.tag or "latest")
    images = tuple(images)
    if image.digest:
        for each in images:
            if by_digest.qualified in each.digests:
                return Here(str(by_digest), each.id)
    if image.tag or not image.digest:
        for each in images:
            if by_tag.qualified in each.tags:
                others = [text.partition("@")[2] for text in each.digests]
                return Here(str(by_tag), each.id, others[0] if image.digest and others else "")
    return None


async def present(engine: Engine, image: Image, say: Callable[[Progress], None]) -> Here:
    """Return an image that is on the engine; pull it where it is not.

    An image of the same tag and another digest is taken with a remark. Raises `PermanentError` when it can be had in
    neither way.
    """
    found = find(image, await listed(engine))
    if found is None:
        exact = Image(image.repository, digest=image.digest)
        wanted = exact if image.digest else replace(image, tag=image.tag or "latest")
        await _pull(engine, image, wanted, say)
        found = find(image, await listed(engine))
        if found is None:
            raise PermanentError(f"the image `{image}` was pulled and does not exist", hint=f"`docker pull {wanted}`")
        found = replace(found, pulled=True)
    remark_another(image, found, say)
    return found


def remark_another(image: Image, found: Here, say: Callable[[Progress], None]) -> None:
    """Report an image whose tag is right and whose digest is not the pinned one."""
    if found.other:
        said = f"`{found.reference}` on this engine is {found.other[:19]}, not {image.digest[:19]}: it is used as it is"
        say(Progress(said, remark=True))


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
    except EngineRefusedError as error:
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
