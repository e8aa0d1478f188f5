"""Keeps Consul's promise about checks: one that is not passed in time, or does not answer, is critical; in the end
the instance is removed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import httpx2
from nats.js.errors import KeyNotFoundError

from service.consul.store import Store
from service.registry import Check, Instance, Status
from service.state import State

TICK = 0.5  # seconds
OK = range(200, 300)
TOO_MANY_REQUESTS = 429  # Consul: a warning
OUTPUT = 200  # characters kept of an answer


def settled(instance: Instance, status: Status, output: str, now: float) -> Instance:
    """Return the instance after a check result. `moment` is when it became critical, or else last passed."""
    assert instance.check is not None
    still = status == "critical" == instance.status
    check = replace(instance.check, output=output, moment=instance.check.moment if still else now)
    return replace(instance, status=status, check=check)


def overdue(instance: Instance, now: float) -> bool:
    """Return whether a TTL check was not passed in time."""
    check = instance.check
    return bool(check and check.ttl and instance.status != "critical" and now > check.moment + check.ttl)


def expired(instance: Instance, now: float) -> bool:
    """Return whether it has been critical for as long as its owner allows."""
    check = instance.check
    if not check or not check.deregister_after or instance.status != "critical":
        return False
    return now > check.moment + check.deregister_after


class Checks:
    """Evaluates all checks every half second. Several replicas may do so: changes are made against what was read."""

    def __init__(self, state: State, store: Store) -> None:
        self._state = state
        self._store = store
        self._next: dict[str, float] = {}  # key -> when its HTTP check is due

    async def run(self) -> None:
        """Run until cancelled."""
        async with httpx2.AsyncClient(follow_redirects=True) as client:
            while True:
                now = time.time()
                due = [each for each in self._state.registry.instances.values() if each.check]
                await asyncio.gather(*(self._look(each, client, now) for each in due))
                await asyncio.sleep(TICK)

    async def _look(self, instance: Instance, client: httpx2.AsyncClient, now: float) -> None:
        try:
            if expired(instance, now):
                await self._store.remove(instance)
            elif overdue(instance, now):
                await self._store.change(instance.key, lambda read: _late(read, now))
            elif instance.check and instance.check.http and self._next.get(instance.key, 0) <= now:
                self._next[instance.key] = now + instance.check.interval
                await self._ask(instance, instance.check, client)
        except KeyNotFoundError:
            return

    async def _ask(self, instance: Instance, check: Check, client: httpx2.AsyncClient) -> None:
        status, output = await _probe(check, client)
        if status != instance.status or not check.output:
            await self._store.change(instance.key, lambda read: settled(read, status, output, time.time()))


def _late(instance: Instance, now: float) -> Instance | None:
    return settled(instance, "critical", "TTL expired", now) if overdue(instance, now) else None


async def _probe(check: Check, client: httpx2.AsyncClient) -> tuple[Status, str]:
    try:
        answer = await client.get(check.http, timeout=check.timeout)
    except httpx2.HTTPError as error:
        return "critical", f"GET {check.http}: {error or type(error).__name__}"
    output = f"HTTP GET {check.http}: {answer.status_code} {answer.reason_phrase} Output: {answer.text[:OUTPUT]}"
    if answer.status_code in OK:
        return "passing", output
    return ("warning" if answer.status_code == TOO_MANY_REQUESTS else "critical"), output
