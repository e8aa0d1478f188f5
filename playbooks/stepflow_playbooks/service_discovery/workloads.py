"""The two workloads: Envoy, and the control plane that tells it what to do."""

from __future__ import annotations

from dataclasses import replace

from stepflow.handoff import ConfigFile, Endpoint
from stepflow.workload import HttpProbe, Json, Port, Workload
from stepflow_playbooks.service import chassis_workload
from stepflow_playbooks.service_discovery.handoff import GATEWAY, MESH
from stepflow_playbooks.service_discovery.settings import ServiceDiscoverySettings

BOOTSTRAP = "envoy.json"
NAME = "service-discovery"
DRAIN = ("--drain-time-s", "30", "--drain-strategy", "immediate")
"""A connection that is open when the policy changes closes after its next answer, or after 30 s; not in ten minutes."""

ADMIN_PATHS = ("/ready", "/stats", "/healthcheck/fail", "/drain_listeners")
"""What probes, scrapers and an orderly stop need. The port asks nobody who he is, and a page in a browser can POST to
it, so the rest (`/quitquitquit`, `/logging`, `/config_dump` ...) is closed."""


def control_plane(settings: ServiceDiscoverySettings, balancing: str, platform: str) -> Workload:
    """The registry's API, Envoy's documents, the front page."""
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
    """Envoy: one process for people (`http`) and for services among themselves (`mesh`)."""
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
    """Envoy's static part: where its documents come from. It asks, and the answer waits for news."""
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
