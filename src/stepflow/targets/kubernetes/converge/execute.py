"""Executes the reconciled actions. It decides nothing: an action describes all that is done to the cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from secrets import token_hex

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired
from stepflow.targets.converge import Say, converge
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.api.kinds import Object, key, title
from stepflow.targets.kubernetes.converge.compare import SALT, SCALED, Change, annotated, foreign, leaving
from stepflow.targets.kubernetes.converge.deletion import gone, vanish
from stepflow.targets.kubernetes.converge.desired import SERVER_START, PodImage, Stage
from stepflow.targets.kubernetes.converge.mounts import marks
from stepflow.targets.kubernetes.converge.reconcile import reconcile
from stepflow.targets.kubernetes.converge.rollback import not_rolled_back, prove, roll_back
from stepflow.targets.kubernetes.converge.rollout import NotReadyError, finished, rolled_out
from stepflow.targets.kubernetes.converge.where import Stages, Where
from stepflow.targets.kubernetes.manifests.drift import cleared, merge_patch
from stepflow.targets.kubernetes.manifests.names import OURS, REMADE
from stepflow.targets.kubernetes.state.secrets import read_back, texts
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import CONTROLLERS, ClusterState, has_lost_label
from stepflow.targets.resolution import Resolution, resolution
from stepflow.targets.secretfiles import inside, require_given, secret_file
from stepflow.targets.wholefile import write_once

_COPIES = "stepflow-replicas"
"""Manages the number of copies, for as long as no autoscaler does."""


async def apply(session: ClusterSession, desired: Desired, say: Say) -> tuple[Action, ...]:
    """See `stepflow.targets.contract.Target.apply`."""
    resolved = resolution(desired)
    seen = await session.everything.next()
    stages = Stages(resolved)
    executor = Executor(session, stages, seen.lasting)
    executor = replace(executor, seen=stages.adopted(executor.seen, executor.where()))
    _complete(session, executor, resolved, seen)
    return await converge(executor, executor.stages.of(executor.seen, executor.where()), session.locks, say)


def _complete(session: ClusterSession, executor: Executor, resolved: Resolution, seen: ClusterState) -> None:
    """Ensure the secrets of a step on this machine: read those that the cluster has, generate the others.

    Raises `PermanentError` for one that the user has to provide and has not.
    """
    folder, required = session.identity.secrets, executor.stages.secrets(seen, executor.where())
    for name, text in read_back(seen, required).items():
        write_once(folder / inside(name), text)
    require_given(folder, resolved.workloads)
    for name in (SALT, *(each.password for each in required)):
        secret_file(folder, name)


@dataclass(frozen=True, slots=True)
class Executor:
    """One `apply` under way, with the images that it provided so far."""

    session: ClusterSession
    stages: Stages
    seen: ClusterState = field(default_factory=lambda: ClusterState({}))  # before the first change
    images: dict[PodImage, str] = field(default_factory=dict)

    def where(self) -> Where:
        """Return where it works, with these images."""
        built = {image.name: reference for image, reference in self.images.items() if image.built}
        official = {image.name: reference for image, reference in self.images.items() if not image.built}
        return Where(self.session.site, self.session.identity, self.session.namespace, built, official)

    async def prepare(self, stage: Stage, say: Say) -> tuple[Action, ...]:
        """Nothing is prepared: images are stages of their own."""
        del stage, say
        return ()

    async def reconcile(self, stage: Stage) -> tuple[Action, ...]:
        """Compare a stage with what there is now, by the references that its images have by now."""
        where = self.where()
        seen = self.stages.adopted(await self._look(stage), where)
        every = self.stages.of(seen, where)
        now = next(each for each in every if each.name == stage.name)
        return reconcile(now, every, seen, where)

    async def _look(self, stage: Stage) -> ClusterState:
        """Observe what a stage is compared with, and no more than can be another since the first change.

        The stages that need nothing come at once. What runs is compared with kinds that change by themselves; all other
        kinds have stages of their own.
        """
        seen = replace(self.seen, secrets=texts(self.session.identity.secrets))
        if stage.part == "image" or (stage.part == "namespace" and seen.namespace):
            return seen
        if stage.part in {"job", "controller"}:
            seen = seen.updated(await self.session.changing.next())
            if stage.part == "job" or not marks(stage.main, self.stages.of(seen, self.where()), seen).to_come:
                return seen
        return await self.session.everything.next()

    async def need(self, name: str, say: Say) -> bool:
        """Wait until what another step declares is ready."""
        seen = await self.session.running.next()
        for kind in CONTROLLERS:
            if seen.of(kind, name):
                await rolled_out(self.session, kind, name, SERVER_START, say)
                return True
        return False

    async def execute(self, stage: Stage, action: Action, say: Say) -> None:
        """Carry out one action."""
        if action.verb == "keep":
            return
        if stage.part == "image":
            await self._provide(action, say)
            return
        change: Change = action.subject
        match action.verb:
            case "create":
                await self._create(change, say)
            case "change":
                await self._change(change)
            case "scale":
                await self._scale(change)
            case "replace":
                await self._replace(change, say)
            case "remove":
                await self.session.client.delete(_old(change))
                return
            case "restart":
                await self._restart(change)
        await self._ready(stage, change, say)

    async def _provide(self, action: Action, say: Say) -> None:
        """Provide an image where pods run."""
        image, reference = action.subject
        supply = self.session.supply
        if action.verb == "build":
            self.images[image] = await supply.built(image.name, say)
        elif action.verb == "remove":
            await supply.remove_superseded(image.name, keep=self.images[image])
        elif image.built:
            await supply.loaded(reference, say)
        else:
            self.images[image] = await supply.official(image.name, say)

    async def _create(self, change: Change, say: Say) -> None:
        made = _with_token(change)
        if change.old is not None:
            await gone(self.session, change.old, say)
        there = await self._met(made)
        if there is not None and leaving(there):
            await gone(self.session, there, say)
            there = None
        await self.session.client.apply(made, force=there is not None)
        await self._copies(made["metadata"]["name"], change.copies)

    async def _change(self, change: Change) -> None:
        made, old = _made(change), _old(change)
        try:
            after = await self.session.client.apply(made, force=True)
        except ClusterRefusedError as error:
            if not error.fixed:
                raise
            hint = f"`kubectl -n {self.session.namespace} delete {key(old).lower()}`, then `stepflow resume`"
            raise PermanentError(f"the {title(made)} cannot be changed: {error.text}", hint=hint) from error
        if (clear := cleared(made, after)) != after:  # what someone added is theirs, and stays when ours is applied
            await self.session.client.patch(after, merge_patch(after, clear))
        await self._copies(made["metadata"]["name"], change.copies)

    async def _scale(self, change: Change) -> None:
        """Set the number of replicas, and record it where it is declared."""
        if change.made is None:
            await self._copies(_old(change)["metadata"]["name"], change.copies)
        else:
            await self._change(change)

    async def _replace(self, change: Change, say: Say) -> None:
        """Recreate an object that cannot be changed; the pods and data of a StatefulSet stay."""
        made, old = _with_token(change), _old(change)
        await vanish(self.session, old, say, policy="Orphan" if made["kind"] == "StatefulSet" else "Background")
        await self.session.client.apply(made)
        await self._copies(made["metadata"]["name"], change.copies)

    async def _restart(self, change: Change) -> None:
        """Let some pods start again at once, or all in turn by another template."""
        for pod in change.pods:
            await self.session.client.delete(pod)
        if change.starts:
            await self._change(change)

    async def _copies(self, name: str, count: int | None) -> None:
        """Set the number of replicas of a Deployment; None: an autoscaler manages it."""
        if count is not None:
            meta = {"name": name, "namespace": self.session.namespace}
            only = {"apiVersion": "apps/v1", "kind": SCALED, "metadata": meta, "spec": {"replicas": count}}
            await self.session.client.apply(only, force=True, manager=_COPIES)

    async def _met(self, desired: Object) -> Object | None:
        """Return an object that was not there when it was compared: another process has just created it.

        Raises `PermanentError` for a foreign one, of a kind of which others are not looked at.
        """
        name, namespace = desired["metadata"]["name"], desired["metadata"].get("namespace", "")
        there = await self.session.client.get(desired["apiVersion"], desired["kind"], name, namespace)
        if there is not None and (there["metadata"].get("labels") or {}).get(OURS) != self.session.identity.id:
            raise foreign(desired, unlabelled=has_lost_label(there, self.session.namespace))
        return there

    async def _ready(self, stage: Stage, change: Change, say: Say) -> None:
        """Wait until what an action started is ready; then, or if it does not become ready, do what the action says."""
        main = change.made or change.old
        kind, name = (main["kind"], main["metadata"]["name"]) if main else ("", "")
        deadline = stage.unit.deadline if change.deadline is None else change.deadline
        if kind == "Job":
            migrates = stage.unit.kind == "workload"
            await finished(self.session, name, f"migration of {stage.owner}" if migrates else stage.owner, say)
        elif kind in CONTROLLERS and stage.part == "policy":
            await rolled_out(self.session, kind, name, deadline, say)
        elif kind in CONTROLLERS:
            try:
                there, template = await rolled_out(self.session, kind, name, deadline, say, unstick=change.unstick)
            except NotReadyError as error:
                if not change.earlier:
                    raise not_rolled_back(name, error) from error
                raise await roll_back(self.session, stage.main, error, deadline, say) from error
            await prove(self.session, there, template)


def _made(change: Change) -> Object:
    assert change.made is not None
    return change.made


def _with_token(change: Change) -> Object:
    return annotated(_made(change), {REMADE: token_hex(4)}) if change.remade else _made(change)


def _old(change: Change) -> Object:
    assert change.old is not None
    return change.old
