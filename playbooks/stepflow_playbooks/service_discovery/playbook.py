"""The playbook service-discovery: a registry, and Envoy as the gateway and mesh that follow it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from stepflow.handoff import ConfigFile, Endpoint
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, HttpProbe, Json, Port, Server, Workload
from stepflow_playbooks.handoffs.service_discovery import GATEWAY, MESH, GatewayHandoff
from stepflow_playbooks.service import chassis_workload
from stepflow_playbooks.service_discovery.checks import checks

BOOTSTRAP = "envoy.json"
NAME = "service-discovery"
DRAIN = ("--drain-time-s", "30", "--drain-strategy", "immediate")
"""Close a connection that is open when its listener changes after its next answer, or after 30 s (by default 600 s)."""
ADMIN_PATHS = ("/ready", "/stats", "/healthcheck/fail", "/drain_listeners")
"""What probes, scrapers and an orderly stop need. The admin port has no authentication and a page in a browser can POST
to it, so everything else (`/quitquitquit`, `/logging`, `/config_dump` ...) is closed."""


class ServiceDiscoverySettings(Settings):
    """Ports and limits. On one machine, a port that is not free is replaced by another one, with a notice."""

    gateway_port: int = Field(default=8080, ge=1, le=65535, description="The port of the gateway.")
    registry_port: int = Field(default=8500, ge=1, le=65535, description="The port of the Consul API.")
    request_timeout: float = Field(default=15, gt=0, le=3600, description="Seconds in which a service must answer.")
    max_request_bytes: int = Field(
        default=1_048_576, ge=1024, le=1 << 30, description="The largest request body, in bytes."
    )
    load_balancing: Literal["least-request", "round-robin"] | None = Field(
        default=None, description="Which instance gets a request; by default the less busy of two."
    )


class ServiceDiscovery(Playbook[ServiceDiscoverySettings]):
    """How services are found and reached."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Registry, API gateway and service mesh (Envoy)"
    settings = ServiceDiscoverySettings
    gives: ClassVar[type[GatewayHandoff]] = GatewayHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("registry", ("service discovery", "registry", "consul"), "where each service runs", always=True),
        Feature("gateway", ("api gateway", "gateway"), "one entry for people", always=True),
        Feature("mesh", ("service mesh", "mesh"), "services call each other through Envoy", always=True),
        Feature("round-robin", ("round robin",), "each instance in turn, instead of the less busy of two"),
    )

    def render(self, step: StepInput[ServiceDiscoverySettings]) -> Mapping[str, bytes]:
        """Return the source of the control plane and of the chassis."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[ServiceDiscoverySettings]) -> Declaration:
        """Declare the control plane, Envoy and NATS."""
        settings = step.settings
        words = "round-robin" if "round-robin" in step.features else "least-request"
        plane = control_plane(settings, settings.load_balancing or words, step.platform)
        return Declaration(workloads=(plane, gateway(settings)), servers=(Server("nats"),))

    def checks(self, step: StepInput[ServiceDiscoverySettings]) -> Collection[Check]:
        """Return the checks of the gateway, the registry, the mesh and a killed instance."""
        del step
        return checks()


def control_plane(settings: ServiceDiscoverySettings, balancing: str, platform: str) -> Workload:
    """Return the workload of the registry's API, Envoy's configuration and the front page."""
    return chassis_workload(
        NAME,
        ports=(Port(), Port("registry", settings.registry_port, env="REGISTRY_PORT", published=True)),
        env={
            "GATEWAY_BIND": replace(GATEWAY, part="bind"),
            "GATEWAY_PORT": replace(GATEWAY, part="port"),
            "GATEWAY_URL": replace(GATEWAY, part="public"),
            "MESH_BIND": replace(MESH, part="bind"),
            "MESH_PORT": replace(MESH, part="port"),
            "MESH_URL": MESH,
            "REQUEST_TIMEOUT": f"{settings.request_timeout:g}",
            "MAX_REQUEST_BYTES": str(settings.max_request_bytes),
            "LOAD_BALANCING": balancing,
            "PLATFORM": platform,
        },
    )


def gateway(settings: ServiceDiscoverySettings) -> Workload:
    """Return the workload of Envoy: one process for people (`http`) and for calls between services (`mesh`)."""
    return Workload(
        name="gateway",
        command=("envoy", "-c", ConfigFile(BOOTSTRAP), *DRAIN),
        ready=HttpProbe("/ready", port="admin"),
        live=HttpProbe("/ready", port="admin"),
        ports=(
            Port("http", settings.gateway_port, env="", published=True),
            Port("mesh", 8081, env=""),
            Port("admin", 9901, env=""),
        ),
        configs={BOOTSTRAP: bootstrap()},
        needs=(NAME,),
    )


def bootstrap() -> Json:
    """Return Envoy's bootstrap: where its configuration comes from, by long polling."""
    source: Json = {
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": ["control-plane"],
            "refresh_delay": "0.1s",
            "request_timeout": "30s",
        },
    }
    return {
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": {
            "address": _address("gateway", "admin", here=True),
            "allow_paths": [{"prefix": path} for path in ADMIN_PATHS],
        },
        "dynamic_resources": {"lds_config": source, "cds_config": source},
        "static_resources": {"clusters": [_cluster()]},
    }


def _cluster() -> Json:
    endpoint: Json = {"endpoint": {"address": _address(NAME, "http", here=False)}}
    return {
        "name": "control-plane",
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",  # AUTO asks for AAAA first, in each domain of the search path
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "control-plane", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(workload: str, port: str, *, here: bool) -> Json:
    host = Endpoint(workload, port, part="bind" if here else "host")
    return {"socket_address": {"address": host, "port_value": Endpoint(workload, port, part="port")}}
