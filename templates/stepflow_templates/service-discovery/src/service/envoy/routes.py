"""Route tables: which request goes to which service, with which timeouts and retries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from service.envoy.model import MESH, OWN, PUBLIC, ROUTES, Gateway, Json, seconds, typed
from service.services import Service

REMOVED = ("x-token-subject", "x-token-id")
"""The headers that only the rate limiter gets from the gateway."""
_INTERNAL = {
    "match": {"safe_regex": {"regex": "/services/[^/]+/+(metrics|v3/.*|authz.*)"}},
    "direct_response": {"status": 404},
}
"""Paths between the platform's own parts, at the services' own ports: no token opens them from outside."""
_METHOD = ":method"
_WEBSOCKET = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
_EVENT_STREAM = {"name": "accept", "string_match": {"contains": "text/event-stream"}}
_IDEMPOTENT = {"name": _METHOD, "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS|PUT|DELETE|TRACE"}}}
_BUFFER_OFF = typed("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", disabled=True)


def public_routes(services: Mapping[str, Service], gateway: Gateway) -> Json:
    """What people reach: by the longest prefix; `/services/<service>/…` without that prefix; the front page."""
    routes: list[Json] = [_INTERNAL]
    for name in services:
        routes += _stripped(name, gateway)
    for prefix, name in owners(services):
        routes += _routes({"path_separated_prefix": prefix} if prefix else {"prefix": "/"}, name, gateway)
    front = _routes({"path": "/"}, OWN, gateway)
    return _table(PUBLIC, [{"name": "public", "domains": ["*"], "routes": [*front, *routes]}])


def mesh_routes(services: Mapping[str, Service], gateway: Gateway) -> Json:
    """What services reach: each by its name as host.

    Hosts ignore case; of two such names the platform's own keeps it, or Envoy would refuse them all.
    """
    hosts: dict[str, Json] = {}
    for each in sorted(services.values(), key=lambda each: (each.foreign, each.name)):
        host = {"name": each.name, "domains": [each.name], "routes": _routes({"prefix": "/"}, each.name, gateway)}
        hosts.setdefault(each.name.lower(), host)
    return _table(MESH, [hosts[name] for name in sorted(hosts)])


def owners(services: Mapping[str, Service]) -> list[tuple[str, str]]:
    """Prefix (without a closing slash) and service, longest first.

    Of two services with the same prefix the platform's own keeps it, then the first by name. What is below a prefix
    of the platform's own stays with it, too: a registration through the Consul API cannot take `/api/auth/login`
    away.
    """
    owner: dict[str, str] = {}
    own: dict[str, str] = {}
    for service in sorted(services.values(), key=lambda each: (each.foreign, each.name)):
        for prefix in service.routes:
            path = "/" + prefix.strip("/") if prefix.strip("/") else ""
            if not service.foreign:
                own |= {path: service.name} if path else {}
            above = next((name for taken, name in own.items() if f"{path}/".startswith(f"{taken}/")), None)
            owner.setdefault(path, above if above and service.foreign else service.name)
    return sorted(owner.items(), key=lambda item: (-len(item[0]), item[0]))


def _table(name: str, hosts: list[Json]) -> Json:
    return typed(
        ROUTES,
        name=name,
        virtual_hosts=hosts,
        validate_clusters=False,
        request_headers_to_remove=list(REMOVED),
        ignore_port_in_host_matching=True,
    )


def _stripped(name: str, gateway: Gateway) -> list[Json]:
    prefix = f"/services/{name}"
    rewrite = {
        "regex_rewrite": {"pattern": {"regex": f"^{re.escape(prefix)}/*"}, "substitution": "/"},
    }
    return _routes({"path_separated_prefix": prefix}, name, gateway, rewrite, forwarded_prefix=prefix)


def _routes(
    match: Json, service: str, gateway: Gateway, rewrite: Json | None = None, forwarded_prefix: str = ""
) -> list[Json]:
    """Four kinds of requests for one prefix: WebSocket and event streams (without a timeout), others that may be
    repeated, and those that may not.
    """
    common = {"cluster": service, **(rewrite or {})}
    endless = common | {"timeout": "0s", "idle_timeout": "3600s"}
    patient = common | {"timeout": seconds(gateway.request_timeout)}
    kinds: Iterable[tuple[list[Json], Json]] = (
        ([_WEBSOCKET], endless),
        ([_EVENT_STREAM], endless | {"retry_policy": _retry(repeatable=False)}),
        ([_IDEMPOTENT], patient | {"retry_policy": _retry(repeatable=True)}),
        ([], patient | {"retry_policy": _retry(repeatable=False)}),
    )
    routes: list[Json] = [{"match": {**match, "headers": headers}, "route": action} for headers, action in kinds]
    routes[0]["typed_per_filter_config"] = {"envoy.filters.http.buffer": _BUFFER_OFF}
    if forwarded_prefix:
        header = {"header": {"key": "x-forwarded-prefix", "value": forwarded_prefix}}
        for route in routes:
            route["request_headers_to_add"] = [header]
    return routes


def _retry(*, repeatable: bool) -> Json:
    """What is safe to retry at another instance: anything that has not begun, and more where repeating is harmless."""
    safe = "connect-failure,refused-stream,reset-before-request"
    policy: Json = {
        "retry_on": f"{safe},reset,retriable-status-codes" if repeatable else safe,
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
    return policy | {"retriable_status_codes": [503]} if repeatable else policy
