"""What a step may set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stepflow.playbook import Settings


class ServiceDiscoverySettings(Settings):
    """Ports are wishes on one machine: another one is taken, and said, where they are not free."""

    gateway_port: int = Field(default=8080, ge=1, le=65535, description="The port that people reach.")
    registry_port: int = Field(default=8500, ge=1, le=65535, description="The port of the Consul API.")
    request_timeout: float = Field(default=15, gt=0, le=3600, description="Seconds that a service has for an answer.")
    max_request_bytes: int = Field(default=1_048_576, ge=1024, le=1 << 30, description="The largest request body.")
    load_balancing: Literal["least-request", "round-robin"] | None = Field(
        default=None, description="Who gets the next request; by default the least busy of two instances."
    )
