"""A local port that forwards to the platform's page until the caller ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from stepflow.errors import UsageError
from stepflow.targets import Observed, endpoints
from stepflow.targets.kubernetes.access.live import forwarded, ports_of
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.ports import HOST, by, free

_UNPRIVILEGED = 1024  # the first port that everyone may listen on
_FURTHER = 200  # numbers after the usual one that are tried


async def lead(session: ClusterSession, observed: Mapping[str, Observed], wish: int | None = None) -> str:
    """Open a port that forwards to the gateway, or else to the first workload, and return its URL.

    It is `wish` (0: any); without one the workload's own number if that is free, else the next that is. Raises
    `UsageError` when there is nothing to lead to, when it is not ready, and when the wish is taken.
    """
    name = next(iter(endpoints(observed)), "")
    if not name:
        raise UsageError(f"`{session.identity.platform}` has no page to open", hint="`stepflow status` shows what runs")
    if observed[name].ready == 0:
        detail = f": {observed[name].detail}" if observed[name].detail else ""
        raise UsageError(f"`{name}` does not answer yet{detail}", hint="`stepflow resume` starts what is down")
    ports = await asyncio.to_thread(lambda: ports_of(session)[name])
    number = ports.get("http") or next(iter(ports.values()))
    here = await asyncio.to_thread(forwarded, session, name, number, _chosen(wish, number))
    return f"http://{HOST}:{here}/"


def _chosen(wish: int | None, usual: int) -> int:
    if wish is None:
        candidates = range(max(usual, _UNPRIVILEGED), min(usual + _FURTHER, 65536))
        return next((number for number in candidates if free(number)), 0)
    if wish and not free(wish):
        raise UsageError(
            f"port {wish} is taken{by(wish)}", hint="choose another with `--port`; `--port 0` takes any free one"
        )
    return wish
