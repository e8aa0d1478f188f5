"""Carries out one action on the engine, and waits until what it leaves running is ready; decides nothing."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from stepflow.errors import PermanentError, StepflowError, TemporaryError
from stepflow.targets.actions import Action
from stepflow.targets.building.image import image_for
from stepflow.targets.building.pull import present
from stepflow.targets.contract import Progress
from stepflow.targets.converge import Answer, LateError, Say, wait
from stepflow.targets.docker.container import Volume
from stepflow.targets.docker.create import create
from stepflow.targets.docker.inspected import Inspected
from stepflow.targets.docker.observed import inspect_one, state
from stepflow.targets.docker.probe import ask
from stepflow.targets.docker.reconcile import Change, PlatformNetwork
from stepflow.targets.docker.session import EngineSession
from stepflow.targets.docker_api.client import update
from stepflow.targets.docker_api.errors import GONE, TAKEN, EngineRefusedError
from stepflow.targets.envoy import drain
from stepflow.targets.images import Image

_STEP = 0.1  # seconds between two looks
_STEP_INSIDE = 0.3  # likewise where each look is a command in the container
_LINES = 15  # of the log that an error shows
_PORT = re.compile(r"(?:Bind for|host port(?: for)?|listen tcp4?|port TCP) [\d.]+:(\d+)(?!.*permission denied)")


async def execute(session: EngineSession, action: Action, say: Say) -> None:
    """Carry out one action on a copy. Raises `StepflowError` when that fails; the next `apply` goes on from there."""
    change: Change = action.subject
    execution = _CopyChange(session, change, say)
    match action.verb:
        case "keep":
            pass
        case "wait":
            await execution.waited(_old(change))
        case "change":
            await execution.limited(_old(change))
            await execution.waited(_old(change))
        case "start":
            await execution.limited(_old(change))
            await execution.started(_old(change).id, paused=_old(change).condition == "paused")
        case "create":
            await execution.created()
        case "replace" if action.old:
            await execution.created()
            await let_go(session, _old(change))
        case "replace":
            await let_go(session, _old(change))
            await execution.created()
        case "remove":
            await let_go(session, _old(change))
        case _:
            raise AssertionError(f"`{action}` cannot be executed on a copy")


@dataclass(frozen=True, slots=True)
class Provided:
    """What came of an action that comes before any copy."""

    done: bool  # False: another step has just done it
    image: str = ""  # id of the one that was built


async def provide(session: EngineSession, action: Action, say: Say) -> Provided:
    """Carry out what comes before any copy, unless another step has done it since it was decided."""
    match action.subject:
        case PlatformNetwork():
            return Provided(await session.ensure_network())
        case Volume(name):
            return Provided(await session.create_volume(session.identity.volume(name), action.owner))
        case Image():
            return Provided((await present(session.engine, action.subject, say)).pulled)
    reference = await image_for(session.engine, session.identity, session.site, action.subject, say)
    built = await session.engine.ask(lambda api: api.inspect_image(reference))
    return Provided(done=True, image=built["Id"])


async def drop_image(session: EngineSession, reference: str) -> None:
    """Remove an image; one that a container uses by now stays."""
    try:
        await session.engine.ask(lambda api: api.remove_image(reference))
    except EngineRefusedError as error:
        if error.status not in {GONE, TAKEN}:
            raise


@dataclass(frozen=True, slots=True)
class _CopyChange:
    """A change of one copy, under way."""

    session: EngineSession
    change: Change
    say: Say

    async def created(self) -> None:
        await self.started(await create(self.session, self.change.filled, self.change.number))

    async def started(self, container: str, *, paused: bool = False) -> None:
        name = self.change.filled.container.name
        engine = self.session.engine
        try:
            await engine.ask(lambda api: api.unpause(container) if paused else api.start(container))
        except EngineRefusedError as error:
            raise await self._not_started(name, error) from error
        await self.ready(container)

    async def limited(self, old: Inspected) -> None:
        if self.change.limits:
            await self.session.engine.ask(lambda api: update(api, old.id, self.change.limits))

    async def waited(self, old: Inspected) -> None:
        try:
            await self.ready(old.id)
        except LateError:
            if not self.change.restart:
                raise
            grace = math.ceil(old.record.grace)
            self.say(Progress(f"`{old.instance}`", "running but not ready; restarting"))
            await self.session.engine.ask(lambda api: api.restart(old.id, timeout=grace))
            await self.ready(old.id)

    async def ready(self, container: str) -> None:
        """Wait until a copy is ready, and have the engine keep it running from then on: it was ready, so it can be.

        `always`: under `unless-stopped` an engine that was killed leaves those down that ended with it.
        """
        found = await ready(self.session, container, self.say)
        if found.record.kind != "setup" and found.policy != "always":
            policy = {"Name": "always", "MaximumRetryCount": 0}
            await self.session.engine.ask(lambda api: api.update_container(container, restart_policy=policy))

    async def _not_started(self, name: str, error: EngineRefusedError) -> StepflowError:
        number = taken(error.text)
        if number is None:
            return error
        self.session.ports.forget(number)
        who = await self.session.ports.holder(number)
        return TemporaryError(f"port {number} of `{name}` was taken{who} before it could listen", delay=0.0)


def _old(change: Change) -> Inspected:
    assert change.old is not None, "there is a container that this is done to"
    return change.old


def taken(text: str) -> int | None:
    """Find the port that an engine could not have, in its words, which differ from version to version."""
    found = _PORT.search(text)
    return int(found[1]) if found else None


async def let_go(session: EngineSession, old: Inspected) -> None:
    """Stop a container, in time for what it has in flight, and remove it with its files."""
    engine = session.engine
    if old.up:
        admin = old.ports.get(old.record.drain or 0)
        if admin is not None:
            await drain(admin, old.record.grace)
        with suppress(EngineRefusedError):  # it ended by itself, or is gone
            await engine.ask(lambda api: api.stop(old.id, timeout=math.ceil(old.record.grace)))
    for attempt in range(3):
        try:
            await engine.ask(lambda api: api.remove_container(old.id, force=True, v=True))
        except EngineRefusedError as error:
            if error.status == GONE:
                return
            if error.status != TAKEN or attempt == 2:  # noqa: PLR2004 - the last of three
                raise
            await asyncio.sleep(0.5)  # another process is removing it
        else:
            return


async def ready(session: EngineSession, container: str, say: Say) -> Inspected:
    """Wait until a container is ready; one of kind `setup`, until it has completed.

    Raises `PermanentError` with the last lines of its log when it ends instead, `LateError` when it takes longer than
    it may.
    """
    last = await _look(session, container)

    async def look() -> Answer:
        nonlocal last
        last = await _look(session, container)
        return await _answer(session, last)

    async def failure(what: str, kind: type[PermanentError]) -> PermanentError:
        return await _failure(session, last, what, kind)

    step = _STEP if last.record.ready else _STEP_INSIDE
    await wait(last.instance, look, deadline=last.record.deadline, step=step, say=say, failure=failure)
    return last


async def _look(session: EngineSession, container: str) -> Inspected:
    found = await inspect_one(session.engine, session.identity, container)
    if found is None:
        hint = "another process removed it; run again"
        raise PermanentError("a container vanished while it was waited for", hint=hint)
    return found


async def _answer(session: EngineSession, found: Inspected) -> Answer:
    setup = found.record.kind == "setup"
    if found.condition == "running":
        if setup:
            return Answer(ready=False, text="it has not completed yet")
        reply = await ask(session.engine, found)
        return Answer(reply.ok, reply.text)
    if found.condition in {"exited", "dead"}:
        done = setup and found.code == 0
        return Answer(done, "completed" if done else found.ending, failed=not done)
    return Answer(ready=False, text=state(found)[1])


async def _failure(
    session: EngineSession, found: Inspected, what: str, kind: type[PermanentError] = PermanentError
) -> PermanentError:
    """Return the error for what is wrong with a container, with the last lines of its log since it was started."""
    lines = [f"`{found.instance}` {what}"]
    written = await _last_lines(session, found)
    if written:
        lines += ["the last lines of its log:", *(f"  {line}" for line in written)]
    hint = f"`stepflow logs {found.record.owner}` shows all of it" if written else "it wrote nothing to its log"
    if found.out_of_memory:
        hint = f"give it more memory; {hint}"
    return kind("\n".join(lines), hint=hint)


async def _last_lines(session: EngineSession, found: Inspected) -> list[str]:
    """Return the last lines that a container wrote since its last start; none when it has no log any more."""
    since = _seconds(found.started)
    try:
        text: bytes = await session.engine.ask(lambda api: api.logs(found.id, tail=_LINES, since=since))
    except EngineRefusedError:
        return []
    return text.decode(errors="replace").splitlines()


def _seconds(stamp: str) -> float | None:
    """Read `2026-11-22T20:46:29.169524288Z`; None for a container that was never started."""
    if stamp.startswith("0001"):
        return None
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6] or 0}+00:00").timestamp()
