"""The backing servers: how each is found, configured, started and reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stepflow.targets.local.layout import Layout
from stepflow.targets.local.servers import nats, postgres, valkey
from stepflow.targets.local.spec import Process


class _Server(Protocol):
    """What each of these modules has."""

    PORTS: tuple[str, ...]

    def define(self, layout: Layout, numbers: dict[str, int]) -> Process:
        """Say how to run it; `numbers` holds its ports by the names in `PORTS`."""


SERVERS: Mapping[str, _Server] = {"nats": nats, "postgres": postgres, "valkey": valkey}
