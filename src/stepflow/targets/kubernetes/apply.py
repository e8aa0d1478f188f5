"""Making a declaration true: what all share, then each unit once what it needs is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from stepflow.errors import PermanentError
from stepflow.targets import Progress
from stepflow.targets.concurrency import together
from stepflow.targets.kubernetes.diagnose import of_pod
from stepflow.targets.kubernetes.images import Images
from stepflow.targets.kubernetes.kinds import Object, key
from stepflow.targets.kubernetes.make import have, have_all, have_at_least, have_copies, have_job, have_namespace
from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.targets.kubernetes.manifests.names import OURS
from stepflow.targets.kubernetes.manifests.secrets import required_secrets, secret_objects
from stepflow.targets.kubernetes.place import Place
from stepflow.targets.kubernetes.prune import prune
from stepflow.targets.kubernetes.rollback import prove, roll_back
from stepflow.targets.kubernetes.rollout import NotReadyError, finished, rolled_out
from stepflow.targets.kubernetes.secrets import read_back
from stepflow.targets.kubernetes.sight import ALL, Sight, look, owner_of, ports_in
from stepflow.targets.kubernetes.valuesfile import values_of
from stepflow.targets.kubernetes.wanted import SERVER_START, Least, Unit, numbers, units
from stepflow.targets.needs import require_no_ring
from stepflow.targets.secretfiles import require_given, secret_text
from stepflow.workload import Declaration

_CONTROLLERS = ("Deployment", "StatefulSet")
_STARTED_ANEW = frozenset({"ended", "image", "unmade"})
"""Reasons for which the cluster waits ever longer before it tries again: a run does not wait with it."""


async def apply(
    place: Place, declaration: Declaration, digests: Mapping[str, str], say: Callable[[Progress], None]
) -> None:
    """See `stepflow.targets.Target.apply`."""
    require_no_ring(declaration.workloads)
    images = await place.supply.images(declaration, say)
    namespace, *shared = foundation(place.bare)
    async with place.lock("platform"):
        await have_namespace(place, namespace, say)
    sight = await look(place.client, place.namespace, place.identity.id, ALL)  # what was going with it is gone by now
    platform = _platform(place, declaration, sight, images)
    async with place.lock("platform"):
        await have_all(place, shared, sight)
        required = required_secrets(platform, declaration)
        folder = place.identity.secrets
        await read_back(place.client, place.namespace, place.identity.id, folder, required)
        require_given(folder, declaration.workloads)
        secrets = secret_objects(platform, required, lambda name: secret_text(folder, name))
        await have_all(place, secrets, sight)
    await _Applying(place, sight, say).all(units(platform, declaration, digests))


def _platform(place: Place, declaration: Declaration, sight: Sight, images: Images) -> Platform:
    """Give what all objects share."""
    return replace(
        place.bare,
        built=images.built,
        official=images.official,
        numbers={**ports_in(sight.of("Service")), **numbers(declaration.workloads)},
        values=values_of(place.site.options),
    )


@dataclass(frozen=True, slots=True)
class _Applying:
    """One `apply` under way."""

    place: Place
    sight: Sight  # of what there was when it began
    say: Callable[[Progress], None]
    ready: dict[str, asyncio.Event] = field(default_factory=dict)

    async def all(self, wanted: tuple[Unit, ...]) -> None:
        self.ready.update((unit.name, asyncio.Event()) for unit in wanted)
        await together(*(self._one(unit) for unit in wanted))

    async def _one(self, unit: Unit) -> None:
        """Have one unit, once what it needs is ready; then remove what was its own and is not wanted any longer."""
        async with self.place.lock(f"unit {unit.name}"):
            await have_all(self.place, unit.objects[:-1], self.sight)
            await together(*(self._needed(unit.name, need) for need in unit.needs))
            if unit.first:
                await self._first(unit)
            match unit.main["kind"]:
                case "Job":
                    await self._job(unit)
                case "Deployment" | "StatefulSet":
                    await self._controller(unit)
                case _:
                    await have(self.place, unit.main, self.sight)
                    await together(*(self._at_least(each) for each in unit.least))
            wanted = {key(each) for each in (*unit.objects, *unit.first)}
            await prune(self.place, self.sight, unit.name, wanted)
        self.ready[unit.name].set()

    async def _first(self, unit: Unit) -> None:
        """Migrate; where the Job of this version is long gone, it runs again and finds that all is done."""
        await have_all(self.place, unit.first[:-1], self.sight)
        if await have_job(self.place, unit.first[-1], self.sight, await self._since(unit)):
            await finished(self.place, unit.first[-1]["metadata"]["name"], f"migration of {unit.name}", self.say)

    async def _job(self, unit: Unit) -> None:
        if await have_job(self.place, unit.main, self.sight, await self._since(unit)):
            await finished(self.place, unit.main["metadata"]["name"], unit.name, self.say)

    async def _controller(self, unit: Unit) -> None:
        kind, name = unit.main["kind"], unit.main["metadata"]["name"]
        changed = await have(self.place, unit.main, self.sight)
        await have_copies(self.place, unit.main, self.sight)
        if not changed:
            await self._started_anew(unit)
        try:
            there, template = await rolled_out(self.place, kind, name, unit.deadline, self.say)
        except NotReadyError as error:
            raise await roll_back(self.place, unit.main, error, unit.deadline, self.say) from error
        await prove(self.place, there, template)

    async def _at_least(self, least: Least) -> None:
        """Have so many copies now: an autoscaler would take a quarter of a minute to begin, and nobody would wait."""
        await have_at_least(self.place, least.name, least.copies)
        await rolled_out(self.place, "Deployment", least.name, least.deadline, self.say)

    async def _started_anew(self, unit: Unit) -> None:
        """Give pods a new beginning that ended and were left so by the last run: what they lacked may be there.

        So it is with those that know data which are gone: they make what they need in them when they start.
        """
        since = await self._since(unit)
        for pod in self.sight.of("Pod", unit.name):
            reason = of_pod(pod, self.sight, unit.deadline)
            if (reason is not None and reason.kind in _STARTED_ANEW) or _made(pod) < since:
                await self.place.client.delete(pod)

    async def _since(self, unit: Unit) -> str:
        """Say since when the data that a unit uses are there: what was done before, was done to others.

        Of a server with several volumes the oldest counts: it has what the others get from it.
        """
        place = self.place
        labels = f"{OURS}={place.identity.id}"
        claims = await place.client.list("v1", "PersistentVolumeClaim", place.namespace, labels) if unit.needs else []
        made = {need: [_made(each) for each in claims if owner_of(each) == need] for need in unit.needs}
        return max((min(times) for times in made.values() if times), default="")

    async def _needed(self, name: str, need: str) -> None:
        if need in self.ready:
            await self.ready[need].wait()
            return
        for kind in _CONTROLLERS:
            if self.sight.of(kind, need):
                await rolled_out(self.place, kind, need, SERVER_START, self.say)
                return
        raise PermanentError(f"`{name}` needs `{need}`, which does not exist")


def _made(each: Object) -> str:
    return str(each["metadata"]["creationTimestamp"])
