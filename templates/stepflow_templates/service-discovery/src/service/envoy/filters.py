"""Filters of the public listener: request size, tokens, the authorization service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from service.envoy.model import Gateway, Json, typed
from service.policy import Issuer, Open, Policy, read_open
from service.services import Service

ROUTER = {"name": "envoy.filters.http.router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router")}
_CLAIMS = (
    {"header_name": "x-token-subject", "claim_name": "sub"},
    {"header_name": "x-token-id", "claim_name": "jti"},
)
_ASKED = ("x-token-subject", "x-token-id", "x-forwarded-for", "x-request-id", "traceparent", "tracestate")
_DENIED = ("content-type", "retry-after", "ratelimit", "ratelimit-policy", "www-authenticate", "cache-control")
_ALLOWED = ("ratelimit", "ratelimit-policy")


def public_filters(services: Mapping[str, Service], policy: Policy, gateway: Gateway) -> list[Json]:
    """The filters of the public listener, in order; the router comes last."""
    filters = [_buffer(gateway)]
    if policy.enforce:
        public = open_routes(services, policy)
        filters.append(_tokens(policy.issuers, public) if policy.issuers else _closed(public))
        if policy.authz and policy.authz.service in services:
            filters.append(_authorization(policy.authz.service, policy.authz.path))
    return [*filters, ROUTER]


def open_routes(services: Mapping[str, Service], policy: Policy) -> tuple[Open, ...]:
    """What needs no token: as declared by the security service and by the services themselves.

    A declaration that cannot be read opens nothing.
    """
    told: list[Open] = list(policy.public)
    for service in services.values():
        for text in service.public:
            try:
                told.append(read_open(text))
            except ValueError:
                continue
    return tuple(sorted(set(told), key=lambda each: (each.path, each.methods)))


def _buffer(gateway: Gateway) -> Json:
    kind = "envoy.extensions.filters.http.buffer.v3.Buffer"
    return {
        "name": "envoy.filters.http.buffer",
        "typed_config": typed(kind, max_request_bytes=gateway.max_request_bytes),
    }


def _tokens(issuers: Iterable[Issuer], public: Iterable[Open]) -> Json:
    """Checks signature, issuer, audience and time of the token in `Authorization`, the only place for one."""
    providers = {f"issuer-{number}": _provider(issuer) for number, issuer in enumerate(issuers)}
    known = [{"provider_name": name} for name in providers]
    either = {"requires_any": {"requirements": [*known, {"allow_missing_or_failed": {}}]}}
    rules = [{"match": _match(route), "requires": either} for route in public]
    needed = known[0] if len(known) == 1 else {"requires_any": {"requirements": known}}
    rules.append({"match": {"prefix": "/"}, "requires": needed})
    config = typed(
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers=providers,
        rules=rules,
        bypass_cors_preflight=False,
    )
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


def _closed(public: Iterable[Open]) -> Json:
    """While there are no keys to check tokens with, only what needs none is answered: jwt_authn cannot exist without
    keys.
    """
    opened = [_permission(route) for route in public]
    policies = {"public": {"permissions": opened, "principals": [{"any": True}]}} if opened else {}
    config = typed("envoy.extensions.filters.http.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": policies})
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


def _provider(issuer: Issuer) -> Json:
    return {
        "issuer": issuer.issuer,
        "audiences": [issuer.audience],
        "local_jwks": {"inline_string": issuer.jwks},
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "forward": True,
        "clock_skew_seconds": 30,
        "require_expiration": True,
        "claim_to_headers": list(_CLAIMS),
    }


def _permission(route: Open) -> Json:
    path = {"url_path": {"path": {"safe_regex": {"regex": path_pattern(route.path)}}}}
    return {"and_rules": {"rules": [path, {"header": _methods(route)}]}}


def _match(route: Open) -> Json:
    return {"safe_regex": {"regex": path_pattern(route.path)}, "headers": [_methods(route)]}


def _methods(route: Open) -> Json:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(route.methods)}}}


def path_pattern(path: str) -> str:
    """A path with `*` as a regular expression: one segment inside, whatever follows at the end."""
    prefix = path.endswith("*")
    pieces = path.removesuffix("*").split("*")
    return "[^/]+".join(re.escape(piece) for piece in pieces) + (".*" if prefix else "")


def _authorization(service: str, path: str) -> Json:
    """Limits must not take the platform down: while the authorization service is down, requests pass; tokens are
    checked before.
    """
    config = typed(
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        failure_mode_allow=True,
        allowed_headers={"patterns": _names(_ASKED)},
        http_service={
            "server_uri": {"uri": f"http://{service}", "cluster": service, "timeout": "0.5s"},
            "path_prefix": path,
            "authorization_response": {
                "allowed_client_headers": {"patterns": _names(_DENIED)},
                "allowed_client_headers_on_success": {"patterns": _names(_ALLOWED)},
            },
        },
    )
    return {"name": "envoy.filters.http.ext_authz", "typed_config": config}


def _names(headers: Iterable[str]) -> list[Json]:
    return [{"exact": name, "ignore_case": True} for name in headers]
