"""Configuration from the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chassis.settings import Settings as ServiceSettings


class Settings(ServiceSettings):
    """The settings of the control plane beside those of every service."""

    service: str = "service-discovery"
    platform: str = "platform"
    """The platform's name, shown on the front page."""
    gateway_bind: str = "0.0.0.0"  # noqa: S104 - the address that Envoy binds, in its own container by default
    gateway_port: int = Field(default=8080, ge=1, le=65535)
    mesh_bind: str = "0.0.0.0"  # noqa: S104 - likewise
    mesh_port: int = Field(default=8081, ge=1, le=65535)
    gateway_url: str = "http://127.0.0.1:8080"
    """Where people reach the gateway."""
    mesh_url: str = "http://127.0.0.1:8081"
    """Where services reach each other, distinguished by `Host`."""
    registry_port: int = Field(default=8500, ge=1, le=65535)
    """The port of the Consul API."""
    request_timeout: float = Field(default=15.0, gt=0, le=3600)
    """Seconds that a service has to answer; then 504."""
    max_request_bytes: int = Field(default=1_048_576, ge=1024, le=1 << 30)
    """The largest request body that the gateway takes; then 413."""
    load_balancing: Literal["least-request", "round-robin"] = "least-request"
    poll_hold: float = Field(default=20.0, ge=0, le=60)
    """Seconds that Envoy's request is held open while nothing changes."""
