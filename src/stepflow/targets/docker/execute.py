"""Carries out actions: what is added at once, what is replaced one after the other; decides nothing."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from stepflow.errors import StepflowError, TemporaryError
from stepflow.targets import Progress
from stepflow.targets.docker.look import Found
from stepflow.targets.docker.make import keep_running, make
from stepflow.targets.docker.platform import Platform
from stepflow.targets.docker.published import holder
from stepflow.targets.docker.reconcile import Action
from stepflow.targets.docker.wait import LateError, wait
from stepflow.targets.docker.wanted import Filling, Wanted
from stepflow.targets.drain import drain
from stepflow.targets.engine.errors import GONE, TAKEN, RefusedError
from stepflow.targets.together import together

_PORT = re.compile(r"(?:Bind for|host port(?: for)?|listen tcp4?|port TCP) [\d.]+:(\d+)(?!.*permission denied)")

_ADDING = frozenset({"keep", "start", "create"})
"""What takes nothing away: done first, and all at once."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What is wanted of one container, and all that is needed to make it so."""

    platform: Platform
    wanted: Wanted
    filling: Filling
    say: Callable[[Progress], None]

    async def carry_out(self, actions: Sequence[Action]) -> None:
        """Do all of it. Raises `StepflowError` at the first thing that fails; the next `apply` goes on from there."""
        adding = [action for action in actions if action.verb in _ADDING]
        await together(*(self._do(action) for action in adding))
        for action in actions:
            if action not in adding:
                await self._do(action)

    async def _do(self, action: Action) -> None:
        if action.verb != "keep":
            self.say(Progress(f"`{action.instance}`", str(action)))
        match action.verb:
            case "keep":
                await self._kept(_old(action))
            case "start":
                await self._started(_old(action).id, paused=_old(action).condition == "paused")
                await self._ready(_old(action).id)
            case "create":
                await self._create(action)
            case "replace":
                await self._replace(action)
            case "remove":
                await let_go(self.platform, _old(action))

    async def _kept(self, old: Found) -> None:
        """Wait for one that shall stay; one that was ready before and only hangs is started anew, once."""
        try:
            await self._ready(old.id)
        except LateError:
            if not old.proven:
                raise
            self.say(Progress(f"`{old.instance}`", "it runs and does not get ready: it is started anew"))
            grace = math.ceil(old.record.grace)
            await self.platform.engine.ask(lambda api: api.restart(old.id, timeout=grace))
            await self._ready(old.id)

    async def _replace(self, action: Action) -> None:
        old = _old(action)
        if action.instance == old.instance:
            await let_go(self.platform, old)
            await self._create(action)
        else:
            await self._create(action)
            await let_go(self.platform, old)

    async def _create(self, action: Action) -> None:
        container = await make(self.platform, self.wanted, action.number, self.filling)
        await self._started(container)
        await self._ready(container)

    async def _started(self, container: str, *, paused: bool = False) -> None:
        name = self.wanted.container.name
        engine = self.platform.engine
        try:
            await engine.ask(lambda api: api.unpause(container) if paused else api.start(container))
        except RefusedError as error:
            raise await self._not_started(name, error) from error

    async def _not_started(self, name: str, error: RefusedError) -> StepflowError:
        number = taken(error.text)
        if number is None:
            return error
        for key in [key for key, kept in self.platform.ports.items() if kept == number]:
            del self.platform.ports[key]  # another one is chosen next time
        who = await holder(self.platform.engine, number)
        return TemporaryError(f"port {number} of `{name}` was taken{who} before it could listen", delay=0.0)

    async def _ready(self, container: str) -> None:
        found = await wait(self.platform, container, self.say)
        if found.record.kind != "setup" and not found.proven:
            await keep_running(self.platform, container)


def taken(text: str) -> int | None:
    """Find the port that an engine could not have, in its words, which each version of Docker chooses anew."""
    found = _PORT.search(text)
    return int(found[1]) if found else None


async def let_go(platform: Platform, old: Found) -> None:
    """Stop a container, in time for what it has in flight, and remove it with its files."""
    engine = platform.engine
    if old.condition in {"running", "restarting", "paused"}:
        admin = old.ports.get(old.record.drain or 0)
        if admin is not None:
            await drain(admin, old.record.grace)
        with suppress(RefusedError):  # it ended by itself, or is gone
            await engine.ask(lambda api: api.stop(old.id, timeout=math.ceil(old.record.grace)))
    for attempt in range(3):
        try:
            await engine.ask(lambda api: api.remove_container(old.id, force=True, v=True))
        except RefusedError as error:
            if error.status == GONE:
                return
            if error.status != TAKEN or attempt == 2:  # noqa: PLR2004 - the last of three
                raise
            await asyncio.sleep(0.5)  # somebody else is removing it
        else:
            return


def _old(action: Action) -> Found:
    if action.old is None:
        raise AssertionError(f"`{action}` names no container")
    return action.old
