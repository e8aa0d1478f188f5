"""Making a declaration true: each container once what it needs is ready, its image meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stepflow.errors import PermanentError
from stepflow.targets import Progress
from stepflow.targets.addresses import CLIENT_PORTS
from stepflow.targets.building.image import image_for, remove_superseded
from stepflow.targets.building.pull import Here, present
from stepflow.targets.docker import define
from stepflow.targets.docker.container import Build, Container
from stepflow.targets.docker.execute import Execution
from stepflow.targets.docker.look import Found, look
from stepflow.targets.docker.platform import Platform
from stepflow.targets.docker.published import choose, number_of
from stepflow.targets.docker.reconcile import reconcile
from stepflow.targets.docker.wait import wait
from stepflow.targets.docker.wanted import Filling, want
from stepflow.targets.images import parse
from stepflow.targets.needs import require_no_ring
from stepflow.targets.secretfiles import require_given, secret_text
from stepflow.targets.together import together
from stepflow.workload import Declaration


async def apply(
    platform: Platform, declaration: Declaration, digests: Mapping[str, str], say: Callable[[Progress], None]
) -> None:
    """See `stepflow.targets.Target.apply`."""
    require_no_ring(declaration.workloads)
    require_given(platform.identity.secrets, declaration.workloads)
    found = await look(platform.engine, platform.identity)
    known = {each.record.owner: each.record.listens for each in found if each.record.kind == "workload"}
    options = platform.site.options
    containers = define.containers(declaration, known, options=options, digests=digests)
    chosen = await choose(platform, containers, found, say)
    filling = Filling(lambda name: secret_text(platform.identity.secrets, name), lambda port: number_of(chosen, port))
    applying = _Applying(platform, filling, chosen, await platform.network(), say)
    await applying.all(containers)


@dataclass(frozen=True, slots=True)
class _Applying:
    """One `apply` under way."""

    platform: Platform
    filling: Filling
    chosen: Mapping[str, Mapping[str, int]]
    network: str
    say: Callable[[Progress], None]
    ready: dict[str, asyncio.Event] = field(default_factory=dict)

    async def all(self, containers: Sequence[Container]) -> None:
        self.ready.update((container.name, asyncio.Event()) for container in containers)
        await together(*(self._one(container) for container in containers))

    async def _one(self, container: Container) -> None:
        """Have one container's copies, once its image is there and what it needs is ready."""
        async with self.platform.lock(f"container {container.name}"):
            image = await self._image(container)
            for need in container.needs:
                await self._needed(container.name, need)
            data = await self._data(container)
            wanted = want(container, image.id, self.filling, self.chosen.get(container.name, {}), data)
            found = await look(self.platform.engine, self.platform.identity, owner=container.name)
            actions = reconcile(wanted, found, self.network)
            await Execution(self.platform, wanted, self.filling, self.say).carry_out(actions)
            if isinstance(container.image, Build) and any(action.verb != "keep" for action in actions):
                engine, who = self.platform.engine, self.platform.identity
                await remove_superseded(engine, who, container.image.context, keep=image.reference)
        self.ready[container.name].set()

    async def _image(self, container: Container) -> Here:
        """Give its image, which is built or pulled where it is not there."""
        engine, who = self.platform.engine, self.platform.identity
        if isinstance(container.image, Build):
            reference = await image_for(engine, who, self.platform.site, container.image.context, self.say)
            return Here(reference, (await engine.ask(lambda api: api.inspect_image(reference)))["Id"])
        reference = container.image
        async with self.platform.lock(f"image {reference}"):
            return await present(engine, parse(reference, f"image.{container.name}"), self.say)

    async def _data(self, container: Container) -> Mapping[str, str]:
        """Say of the servers that a container uses which data they have."""
        name = self.platform.identity.volume
        return {need: await self.platform.birth(name(need)) for need in container.needs if need in CLIENT_PORTS}

    async def _needed(self, name: str, need: str) -> None:
        if need in self.ready:
            await self.ready[need].wait()
            return
        copies = await look(self.platform.engine, self.platform.identity, owner=need)
        if not copies:
            raise PermanentError(f"`{name}` needs `{need}`, which does not exist")
        await together(*(self._wait(each) for each in copies))

    async def _wait(self, found: Found) -> None:
        await wait(self.platform, found.id, self.say)
