"""From a folder of the rendered tree to an image on the engine; built only when there is none of the same content."""

from __future__ import annotations

import asyncio
import tempfile
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets import images
from stepflow.targets.building.context import OWN, SHARED, BuildContext, context, pack
from stepflow.targets.building.dependencies import CHASSIS, Sources, locks
from stepflow.targets.building.interpreter import Interpreter, interpreter
from stepflow.targets.building.output import BuildOutput
from stepflow.targets.building.pull import Here, present
from stepflow.targets.building.push import push
from stepflow.targets.building.wheelhouse import locked, wheels
from stepflow.targets.contract import Progress, Site
from stepflow.targets.converge import Say
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, TAKEN, EngineRefusedError
from stepflow.targets.identity import KIND, NAME, STATE, Identity
from stepflow.targets.secretfiles import inside

SHARED_LABEL = "dev.stepflow.shared"
"""Which layers that all services have alike are in an image: a hash of what they are made from."""
BASE_LABEL = "dev.stepflow.base"
"""The id of the image that an image was built on."""
IMAGE = "image"
"""The kind, in labels, of what is built here."""


async def image_for(engine: Engine, who: Identity, site: Site, folder: str, say: Say) -> str:
    """Return the reference of the image of a folder of the rendered tree; builds it when there is none of that content.

    It is `<prefix>/<folder>:<hash>`, or with the option `registry` `<registry>/<platform>/<folder>:<hash>`, and pushed
    there; the option `base-image` names what it is built on. One folder is built once at a time; its output goes to
    `logs/image-<folder>.log` in the state directory. Raises `PermanentError` with the failing instruction and its last
    lines, `MachineError` when there is no space or a package index cannot be reached.
    """
    log = who.logs / f"image-{inside(folder)}.log"
    sources = Sources(site.out.resolve(), folder)
    if not (sources.out / folder).is_dir():
        raise PermanentError(f"`{sources.out / folder}` is not there", hint="`stepflow resume` renders it again")
    async with locked(who.private / f"build-{folder}.lock"):
        base = await present(engine, images.image(images.BASE, site.options), say)
        python = await interpreter(engine, who, base.reference, base.id)
        made = context(sources, await locks(sources, python, who, say))
        registry = site.options.get("registry", "").rstrip("/")
        repository = f"{registry}/{who.platform}/{folder}" if registry else f"{who.prefix}/{folder}"
        reference = f"{repository.lower()}:{made.hash(base.id)}"
        if not await _there(engine, reference):
            order = _Order(who, sources, made, base, python, reference)
            async with _turn(engine, order):
                await _build(engine, order, log, say)
        if registry:
            await push(engine, reference, folder, log, say)
    return reference


async def remove_superseded(engine: Engine, who: Identity, folder: str, *, keep: str) -> tuple[str, ...]:
    """Remove the images of a folder that no container uses, except the one to keep; return their references."""
    ours = who.filters(f"{KIND}={IMAGE}", f"{NAME}={folder}")
    removed: list[str] = []
    for found in await engine.ask(lambda api: api.images(filters=ours)):
        for reference in found.get("RepoTags") or ():
            if reference in {keep, "<none>:<none>"}:
                continue
            try:
                await engine.ask(lambda api, reference=reference: api.remove_image(reference))  # type: ignore[misc]
                removed.append(reference)
            except EngineRefusedError as error:
                if error.status not in {GONE, TAKEN}:  # gone by now; a container uses it
                    raise
    return tuple(removed)


@dataclass(frozen=True, slots=True)
class _Order:
    """One image that is to be built."""

    who: Identity
    sources: Sources
    made: BuildContext
    base: Here
    python: Interpreter
    reference: str

    def arguments(self) -> dict[str, str]:
        """Return the build arguments; a Dockerfile may leave any of them unused."""
        where = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
        return {"BASE": self.base.reference, "CONTEXT": self.sources.context, **where}

    def labels(self) -> dict[str, str]:
        """Return the labels: the owner's, and those of the Open Container Initiative's image specification."""
        project = _project(self.sources.out / self.sources.context / "pyproject.toml")
        oci = {
            "title": self.sources.context,
            "version": str(project.get("version", "0")),
            "revision": self.reference.rpartition(":")[2],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "base.name": self.base.reference,
        }
        whose = self.who.labels(IMAGE, self.sources.context)
        del whose[STATE]  # a path of this machine, which a registry has no need of
        labels = whose | {SHARED_LABEL: self.made.shared(self.base.id), BASE_LABEL: self.base.id}
        return labels | {f"org.opencontainers.image.{name}": text for name, text in oci.items()}


@asynccontextmanager
async def _turn(engine: Engine, order: _Order) -> AsyncIterator[None]:
    """Wait while another build makes the layers that all share: made twice they would not be the same."""
    shared = order.made.shared(order.base.id)
    async with AsyncExitStack() as turn:
        if shared:
            await turn.enter_async_context(locked(order.who.private / "build.lock"))
            alike = {"label": f"{SHARED_LABEL}={shared}"}
            if await engine.ask(lambda api: api.images(filters=alike, quiet=True)):
                await turn.aclose()
        yield


async def _build(engine: Engine, order: _Order, log: Path, say: Say) -> None:
    what = f"image of {order.sources.context}"
    _begin(log)
    pins = {folder: each.pins for folder, each in order.made.locks.items()}
    every = {pin for some in pins.values() for pin in some}
    found = await wheels(every, order.python, log, lambda text: say(Progress(what, text)))
    shared = {found[pin] for pin in pins[CHASSIS]} if len(pins) > 1 else set()
    folders = {
        SHARED: {file.name: file for file in shared},
        OWN: {file.name: file for file in set(found.values()) - shared},
    }
    output = BuildOutput(order.sources.context, str(log))
    with tempfile.TemporaryFile() as archive, log.open("a", encoding="utf-8") as lines:
        await asyncio.to_thread(pack, order.made, folders, order.labels(), archive)
        if order.made.hash(order.base.id) != order.reference.rpartition(":")[2]:  # else its name would lie for good
            raise TemporaryError(f"the source of `{order.sources.context}` changed while it was packed", delay=0.0)
        archive.seek(0)
        step = ""
        async for item in _stream(engine, order, archive, output):
            lines.writelines(f"{line}\n" for line in output.feed(item))
            lines.flush()
            if output.step != step:
                step = output.step
                say(Progress(what, step))
    if not await _there(engine, order.reference):
        raise output.failure("the engine ended the build without an image")


async def _stream(
    engine: Engine, order: _Order, archive: BinaryIO, output: BuildOutput
) -> AsyncIterator[Mapping[str, Any]]:
    try:
        async for item in engine.stream(
            lambda api: api.build(
                fileobj=archive,
                custom_context=True,
                dockerfile=order.made.dockerfile,
                tag=order.reference,
                buildargs=order.arguments(),
                network_mode="none",
                use_config_proxy=False,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=None,
            )
        ):
            yield item
    except EngineRefusedError as error:  # such as a Dockerfile that cannot be read
        raise output.failure(error.text) from error


async def _there(engine: Engine, reference: str) -> bool:
    try:
        await engine.ask(lambda api: api.inspect_image(reference))
    except EngineRefusedError as error:
        if error.status == GONE:
            return False
        raise
    return True


def _begin(log: Path) -> None:
    """Empty a log: what an earlier build said is of no use any more."""
    log.write_text("", encoding="utf-8")


def _project(file: Path) -> Mapping[str, Any]:
    """Read what a `pyproject.toml` says of its project; it was found to be valid when its dependencies were read."""
    return tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.exists() else {}
