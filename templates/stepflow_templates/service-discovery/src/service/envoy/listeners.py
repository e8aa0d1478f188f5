"""The two listeners: `http` for people, `mesh` for services among themselves."""

from __future__ import annotations

from collections.abc import Mapping

from service.envoy.filters import ROUTER, public_filters
from service.envoy.model import LISTENER, MESH, OTLP, PUBLIC, Gateway, Json, address, control_plane, typed
from service.envoy.replies import local_replies
from service.envoy.routes import REMOVED
from service.policy import Policy, Telemetry
from service.services import Service

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_SPOOFABLE = (
    "forwarded",
    "proxy",
    "proxy-connection",
    "keep-alive",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    *REMOVED,
)


def listeners(services: Mapping[str, Service], policy: Policy, gateway: Gateway) -> list[Json]:
    """Both listeners; they change with the policy, not when instances come and go."""
    filters = public_filters(services, policy, gateway)
    public = _manager(PUBLIC, filters, policy.telemetry, gateway) | _edge()
    mesh = _manager(MESH, [ROUTER], policy.telemetry, gateway)
    return [
        _listener(PUBLIC, gateway.bind, gateway.port, public),
        _listener(MESH, gateway.mesh_bind, gateway.mesh_port, mesh),
    ]


def _listener(name: str, host: str, port: int, manager: Json) -> Json:
    manager_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return typed(
        LISTENER,
        name=name,
        address=address(host, port),
        filter_chains=[{"name": name, "filters": [manager_filter]}],
        per_connection_buffer_limit_bytes=1_048_576,
    )


def _manager(name: str, filters: list[Json], telemetry: Telemetry | None, gateway: Gateway) -> Json:
    manager = typed(
        _MANAGER,
        stat_prefix=name,
        server_name="gateway",
        rds={"route_config_name": name, "config_source": control_plane(gateway)},
        http_filters=filters,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        local_reply_config=local_replies(),
        access_log=[_access_log(name, traced=telemetry is not None)],
        generate_request_id=True,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        request_id_extension={"typed_config": _request_ids()},
        common_http_protocol_options={
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        max_request_headers_kb=32,
        request_headers_timeout="10s",
        request_timeout="60s",
        stream_idle_timeout="300s",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
    )
    return manager | {"tracing": _tracing(telemetry)} if telemetry else manager


def _edge() -> Json:
    """Client addresses in headers from outside are not trusted: they are dropped, and what the gateway sees is set."""
    mutations: list[Json] = [{"remove": name} for name in _SPOOFABLE]
    mutations.append({"append": {"header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"}}})
    mutation = typed(
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation", mutations=mutations
    )
    return {
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        "early_header_mutation_extensions": [
            {"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": mutation}
        ],
    }


def _request_ids() -> Json:
    kind = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
    return typed(kind, pack_trace_reason=False, use_request_id_for_trace_sampling=False)


def _access_log(listener: str, *, traced: bool) -> Json:
    """One JSON line per request on stdout; without the query, which might hold secrets."""
    line = {
        "time": "%START_TIME%",
        "level": "info",
        "service": "gateway",
        "message": "request",
        "listener": listener,
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "status": "%RESPONSE_CODE%",
        "duration_ms": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "upstream": "%UPSTREAM_CLUSTER_RAW%",
        "instance": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    line |= {"trace_id": "%TRACE_ID%"} if traced else {"traceparent": "%REQ(TRACEPARENT)%"}
    log = typed("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": line})
    return {"name": "envoy.access_loggers.stdout", "typed_config": log}


def _tracing(telemetry: Telemetry) -> Json:
    uri = f"http://{telemetry.host}:{telemetry.port}/v1/traces"
    tracer = typed(
        "envoy.config.trace.v3.OpenTelemetryConfig",
        service_name="gateway",
        http_service={"http_uri": {"uri": uri, "cluster": OTLP, "timeout": "2s"}},
    )
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer},
        "random_sampling": {"value": telemetry.sampling * 100},
        "spawn_upstream_span": True,
    }
