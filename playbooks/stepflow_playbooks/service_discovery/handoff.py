"""What the step passes on."""

from __future__ import annotations

from stepflow.handoff import Endpoint, Handoff

GATEWAY = Endpoint("gateway")
MESH = Endpoint("gateway", port="mesh")
REGISTRY = Endpoint("service-discovery", port="registry")


class GatewayHandoff(Handoff):
    """Where people enter, where services meet, and where foreign services register."""

    gateway: Endpoint = GATEWAY
    mesh: Endpoint = MESH
    registry: Endpoint = REGISTRY
