"""The controllers: each looks at all objects, does what is next, and is called again when anything has changed."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from onenode.controllers import (
    budgets,
    claims,
    deployments,
    garbage,
    jobs,
    namespaces,
    replicasets,
    scheduling,
    statefulsets,
)
from onenode.objects import Objects
from onenode.statuses import RefusedError

_CONTROLLERS: tuple[Callable[[Objects], None], ...] = (
    namespaces.control, garbage.control, claims.control, budgets.autoscale, deployments.control, replicasets.control,
    statefulsets.control, jobs.control, scheduling.control, budgets.control,
)  # fmt: skip
_TICK = 0.5  # seconds: deadlines come without a change


async def run(objects: Objects) -> None:
    """Control for ever."""
    while True:
        version = objects.store.version
        for control in _CONTROLLERS:
            try:
                control(objects)
            except RefusedError:  # something was quicker; what it left is looked at next time
                continue
            except Exception:  # noqa: BLE001 - one that fails must be seen, and must not stop the others
                traceback.print_exc()
        await objects.store.changed(version, _TICK)
        await asyncio.sleep(0.01)  # changes come in groups
