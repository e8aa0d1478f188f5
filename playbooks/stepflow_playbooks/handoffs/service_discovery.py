"""What a step of the playbook `service-discovery` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, Handoff

GATEWAY = Endpoint("gateway")
MESH = Endpoint("gateway", port="mesh")
REGISTRY = Endpoint("service-discovery", port="registry")


class GatewayHandoff(Handoff):
    """The gateway for people, the mesh listener for services, and the registry where other services register."""

    gateway: Endpoint = GATEWAY
    mesh: Endpoint = MESH
    registry: Endpoint = REGISTRY
