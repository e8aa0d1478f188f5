"""Which image each pod gets: what was built here, pushed or brought into the nodes, and the official ones."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from operator import methodcaller

from stepflow.errors import MachineError, StepflowError
from stepflow.targets.building.image import IMAGE, image_for, remove_superseded
from stepflow.targets.building.push import pushed
from stepflow.targets.contract import Progress, Site
from stepflow.targets.converge import Say
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, EngineRefusedError
from stepflow.targets.identity import KIND, Identity
from stepflow.targets.images import Image, image
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.loading.load import Loading
from stepflow.targets.kubernetes.loading.node_loaders import REGISTRY, Shared
from stepflow.targets.kubernetes.loading.nodes import Node, usable
from stepflow.targets.kubernetes.manifests.names import HOST

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as engines say it, and as nodes do


async def require_builder() -> None:
    """Raise `MachineError` unless there is an engine: services' images are built with it, for any cluster."""
    try:
        await Engine().ask(lambda api: api.ping())
    except MachineError as error:
        raise MachineError(f"images cannot be built: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class Supply:
    """Where images come from and where they have to be, for as long as a command runs."""

    client: Client
    who: Identity
    site: Site
    engine: Engine = field(default_factory=Engine)
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _official: dict[str, str] = field(default_factory=dict)
    _loading: list[Loading] = field(default_factory=list)

    async def forget(self) -> None:
        """Remove what was built from the engine, where there is one; nodes drop what they do not run by themselves."""
        ours = self.who.filters(f"{KIND}={IMAGE}")
        with suppress(MachineError):
            for found in await self.engine.ask(lambda api: api.images(filters=ours)):
                for reference in found.get("RepoTags") or ():
                    with suppress(EngineRefusedError):  # gone by now; a container uses it
                        await self.engine.ask(methodcaller("remove_image", reference))

    async def built(self, context: str, say: Say) -> str:
        """Build a folder's image where there is none, provide it in the registry or the nodes; return its reference.

        Raises as `image_for` does, and `MachineError` where an image can get into a node in no way.
        """
        async with self._turns[f"built {context}"]:
            reference = await image_for(self.engine, self.who, self.site, context, say)
            if self.site.options.get("registry"):
                await self._require_architecture(context)
                return await pushed(self.engine, reference) or reference
            loading = await self._nodes()
            await self._require_architecture(context)
            local = f"{HOST}/{reference}"
            await self._name(reference, local)
            await loading.load([local], say)
            return local

    async def remove_superseded(self, context: str, *, keep: str) -> None:
        """Remove the other images of a folder from the engine, unless that is where the pods' images are."""
        loading = await self._nodes()
        if not any(isinstance(way, Shared) for way in (await loading.loaders()).values()):
            await remove_superseded(self.engine, self.who, context, keep=keep.removeprefix(f"{HOST}/"))

    async def loaded(self, reference: str, say: Say) -> None:
        """Bring an image that was built before into the nodes that lack it, where the engine still has it."""
        async with self._turns[f"loaded {reference}"]:
            try:
                await self._name(reference.removeprefix(f"{HOST}/"), reference)
            except EngineRefusedError as error:
                if error.status != GONE:
                    raise
                return
            await (await self._nodes()).load([reference], say)

    async def official(self, name: str, say: Say) -> str:
        """Bring an official image into the nodes that lack it, where that is possible; return its reference.

        Decided once for a command: copies of one server must not differ by which step asked first.
        """
        async with self._turns[f"official {name}"]:
            if name not in self._official:
                self._official[name] = await self._decided(name, say)
        return self._official[name]

    async def _decided(self, name: str, say: Say) -> str:
        desired = image(name, self.site.options)
        exact = Image(desired.repository, digest=desired.digest).qualified if desired.digest else ""
        tagged = Image(desired.repository, desired.tag or "latest")
        nodes = await self._listed()
        if exact and any(exact in node.images for node in nodes):
            return desired.qualified
        everywhere = bool(nodes) and all(tagged.qualified in node.images for node in nodes)
        return tagged.qualified if everywhere or await self._brought(tagged, desired, nodes, say) else desired.qualified

    async def _brought(self, tagged: Image, desired: Image, nodes: tuple[Node, ...], say: Say) -> bool:
        """Bring an official image into the nodes, if the engine has it and there is a way; false: they pull it."""
        if not nodes or self.site.options.get("registry"):
            return False
        try:
            here = await self._here(tagged, desired)
            if not here:
                return False
            loading = await self._nodes()
            await loading.loaders()
        except MachineError:  # no engine, no way into the nodes: nothing that a pull would need
            return False
        if await loading.load([tagged.qualified], say) and desired.digest:
            said = f"`{tagged}` was brought into the nodes and has no digest there: it is taken by its tag"
            say(Progress(said, remark=True))
        return True

    async def _here(self, tagged: Image, desired: Image) -> bool:
        """Return whether the engine has an image, by its digest or its tag, and have it under its full name."""
        by_digest = [str(Image(desired.repository, digest=desired.digest))] if desired.digest else []
        for reference in (*by_digest, str(tagged)):
            try:
                await self._name(reference, tagged.qualified)
            except EngineRefusedError as error:
                if error.status != GONE:
                    raise
            else:
                return True
        return False

    async def _name(self, reference: str, another: str) -> None:
        """Tag an image of the engine with another name. Raises `EngineRefusedError` where there is none."""
        repository, _, tag = another.rpartition(":")
        await self.engine.ask(lambda api: api.tag(reference, repository, tag))

    async def _nodes(self) -> Loading:
        """Return the nodes to bring images into. Raises `MachineError` where they cannot be seen, or none runs."""
        async with self._turns["nodes"]:
            if not self._loading:
                try:
                    found = usable(await self.client.list("v1", "Node"))
                except StepflowError as error:
                    problem = f"images cannot be brought into nodes that cannot be seen: {error.message}"
                    raise MachineError(problem, hint=REGISTRY) from error
                if not found:
                    hint = "`kubectl get nodes` says what they lack"
                    raise MachineError("the cluster has no node that is ready and takes any pod", hint=hint)
                self._loading.append(Loading(self.engine, found))
        return self._loading[0]

    async def _listed(self) -> tuple[Node, ...]:
        """Return the nodes, none where they may not be seen: then they pull."""
        try:
            return (await self._nodes()).nodes
        except MachineError:
            return ()

    async def _require_architecture(self, context: str) -> None:
        """Raise `MachineError` when no node runs what the engine builds; a cluster may have nodes of both kinds."""
        info = await self.engine.info()
        here = _ARCHITECTURES.get(str(info.get("Architecture")), str(info.get("Architecture")))
        others = sorted({node.architecture for node in await self._listed()})
        if others and here not in others:
            raise MachineError(
                f"the image of {context} is built for {here}, and the nodes are {' and '.join(others)}",
                hint=f"build on a machine that is {others[0]}: `DOCKER_HOST`",
            )
