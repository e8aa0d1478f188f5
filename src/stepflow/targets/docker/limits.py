"""What a container may use at most, by what it runs: some ten times what it was seen to use in the reference platform
(services 55 to 75 MiB, PostgreSQL 135), so that one that goes astray ends alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepflow.targets.docker.container import Limits

LIMITS: Mapping[str, Limits] = {
    "service": Limits(memory=768, pids=256, cpus=2.0),
    "envoy": Limits(memory=512, pids=128, cpus=2.0),
    "nats": Limits(memory=512, pids=128, cpus=2.0),
    "postgres": Limits(memory=1024, pids=512, cpus=2.0),
    "valkey": Limits(memory=256, pids=64, cpus=1.0),
    "setup": Limits(memory=128, pids=32, cpus=1.0),
}
"""A service's own, or by the name of a server, of a program, of the kind `setup`."""
