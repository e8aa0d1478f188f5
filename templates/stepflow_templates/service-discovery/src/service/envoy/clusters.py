"""Clusters (how a service is called) and endpoints (where its instances are)."""

from __future__ import annotations

from ipaddress import ip_address

from service.envoy.model import CLUSTER, ENDPOINTS, OTLP, Gateway, Json, address, control_plane, typed
from service.policy import Telemetry
from service.services import Service

_BALANCING = {
    # Unhealthy instances get no requests, unless all are unhealthy. The registry leaves out those that report
    # themselves unready, so this remains when all lack the same thing (NATS), and what does not need it is still
    # answered.
    "healthy_panic_threshold": {"value": 1},
    "update_merge_window": "0s",  # or a new instance waits a second after it was found healthy
}


def cluster(service: Service, gateway: Gateway) -> Json:
    """How a service is called: balancing, health, limits.

    Numeric addresses come by EDS, so that one more or less changes nothing else; Envoy resolves names.
    """
    document = typed(
        CLUSTER,
        name=service.name,
        connect_timeout="1s",
        lb_policy=gateway.load_balancing.replace("-", "_").upper(),
        circuit_breakers={"thresholds": [_thresholds()]},
        outlier_detection=_outliers(),
        common_lb_config=_BALANCING,
        ignore_health_on_host_removal=True,
        dns_lookup_family="V4_PREFERRED",
        typed_extension_protocol_options=_protocol(),
    )
    if service.health:
        document["health_checks"] = [_health_check(service)]
    if _numeric(service):
        return document | {"type": "EDS", "eds_cluster_config": {"eds_config": control_plane(gateway)}}
    return document | {"type": "STRICT_DNS", "load_assignment": assignment(service)}


def assignment(service: Service) -> Json:
    """Where a service's instances are."""
    hosts = [{"endpoint": {"address": address(host, port)}} for host, port in service.addresses]
    return {"cluster_name": service.name, "endpoints": [{"lb_endpoints": hosts}]}


def endpoints(service: Service) -> Json:
    """The same as a document of its own."""
    return typed(ENDPOINTS, **assignment(service))


def otlp_cluster(telemetry: Telemetry) -> Json:
    """Where Envoy's traces go."""
    hosts = [{"endpoint": {"address": address(telemetry.host, telemetry.port)}}]
    return typed(
        CLUSTER,
        name=OTLP,
        type="STRICT_DNS",
        connect_timeout="1s",
        dns_lookup_family="V4_PREFERRED",
        load_assignment={"cluster_name": OTLP, "endpoints": [{"lb_endpoints": hosts}]},
    )


def _numeric(service: Service) -> bool:
    try:
        return all(ip_address(host) for host, _port in service.addresses)
    except ValueError:
        return False


def _thresholds() -> Json:
    """Limits of concurrent work; above them 503.

    Envoy's own limit of three concurrent retries would let requests fail when an instance is killed.
    """
    return {
        "max_connections": 1024,
        "max_pending_requests": 1024,
        "max_requests": 1024,
        "retry_budget": {"budget_percent": {"value": 25}, "min_retry_concurrency": 100},
        "track_remaining": True,
    }


def _outliers() -> Json:
    """Ejects an instance that answers 502 to 504, or not at all, several times in a row; never the last one.

    A 500 is a bug that every instance shares, so it does not eject.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_local_origin_failure": 100,
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_percent": 50,
    }


def _health_check(service: Service) -> Json:
    return {
        "timeout": "2s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": service.health, "host": service.name},
    }


def _protocol() -> Json:
    """HTTP/1.1, with connections closed before the server closes them as idle (uvicorn does after 5 s)."""
    options = typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        common_http_protocol_options={"idle_timeout": "4s"},
        explicit_http_config={"http_protocol_options": {}},
    )
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
