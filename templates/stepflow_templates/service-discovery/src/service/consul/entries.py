"""Converts between this registry's instances and Consul's JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from service.consul.durations import seconds
from service.registry import ORIGIN, STATUSES, Check, Instance, Status, check_names

Json = dict[str, Any]
_ROUTE = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+/?")
NODE = "platform"
DATACENTER = "dc1"
ROUTE = "route="
MAX_NAME = 128  # characters; names become subjects, and NATS hangs up on one who sends a line over 4096 bytes


def folded(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return keys in lower case and without `_`, at every depth but under `meta`: clients write `ID`, `Id`, `id`."""
    if isinstance(value, list):
        return [folded(each) for each in value]
    if not isinstance(value, dict):
        return value
    pairs = ((key.lower().replace("_", ""), each) for key, each in value.items())
    return {key: each if key == "meta" else folded(each) for key, each in pairs}


def instance(body: Mapping[str, Any], address: str, now: float) -> Instance:
    """Read a registration (`PUT /v1/agent/service/register`). `address` is the client's, used when the registration
    has none.

    A tag or meta `route=/api/x` makes the gateway send that prefix to it. Raises `ValueError` with what is wrong.
    """
    told = folded(body)
    name, port = told.get("name"), told.get("port")
    if not name or not isinstance(name, str):
        raise ValueError("Missing service name")
    service_id = str(told.get("id") or name)
    if max(len(name), len(service_id)) > MAX_NAME:
        raise ValueError(f"Service name and ID may have up to {MAX_NAME} characters")
    address = str(told.get("address") or address)
    check_names(name, address)
    if not isinstance(port, int) or not 0 < port < 1 << 16:
        raise ValueError(f"Service port {port!r} is not between 1 and 65535")
    tags = tuple(str(tag) for tag in told.get("tags") or ())
    meta = {str(key): str(value) for key, value in (told.get("meta") or {}).items()}
    checks = [*([told["check"]] if told.get("check") else []), *(told.get("checks") or [])]
    if len(checks) > 1:
        raise ValueError("Only one check a service is kept here")
    found = check(checks[0], now) if checks else None
    return Instance(
        service=name,
        id=service_id,
        address=address,
        port=port,
        routes=_routes(tags, meta),
        version=meta.get("version", ""),
        status=_status(checks[0]) if checks else "passing",
        meta={**meta, ORIGIN: "consul", "health": _health_path(found, port)},
        tags=tags,
        check=found,
    )


def check(told: Mapping[str, Any], now: float) -> Check:
    """Read a check: `TTL` or `HTTP` with `Interval`. Raises `ValueError` for any other kind."""
    if not told.get("ttl") and not told.get("http"):
        raise ValueError("Check must have a TTL or an HTTP address with an Interval")
    return Check(
        name=str(told.get("name") or ""),
        ttl=seconds(str(told.get("ttl") or "")),
        http=str(told.get("http") or ""),
        interval=max(seconds(str(told.get("interval") or "10s")), 1.0),
        timeout=seconds(str(told.get("timeout") or "10s")),
        deregister_after=seconds(str(told.get("deregistercriticalserviceafter") or "")),
        moment=now,
    )


def agent_service(known: Instance) -> Json:
    """An entry of `/v1/agent/services`."""
    return {
        "ID": known.id,
        "Service": known.service,
        "Tags": list(known.tags),
        "Meta": dict(known.meta),
        "Port": known.port,
        "Address": known.address,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Datacenter": DATACENTER,
        "CreateIndex": known.created,
        "ModifyIndex": known.modified,
    }


def catalog_service(known: Instance) -> Json:
    """An entry of `/v1/catalog/service/{name}`."""
    return {
        "ID": "",
        "Node": NODE,
        "Address": known.address,
        "Datacenter": DATACENTER,
        "TaggedAddresses": None,
        "NodeMeta": {},
        "ServiceKind": "",
        "ServiceID": known.id,
        "ServiceName": known.service,
        "ServiceTags": list(known.tags),
        "ServiceAddress": known.address,
        "ServicePort": known.port,
        "ServiceMeta": dict(known.meta),
        "ServiceWeights": {"Passing": 1, "Warning": 1},
        "ServiceEnableTagOverride": False,
        "CreateIndex": known.created,
        "ModifyIndex": known.modified,
    }


def health_entry(known: Instance) -> Json:
    """An entry of `/v1/health/service/{name}`."""
    node = {"ID": "", "Node": NODE, "Address": known.address, "Datacenter": DATACENTER, "Meta": {}}
    return {"Node": node, "Service": agent_service(known), "Checks": [health_check(known)]}


def health_check(known: Instance) -> Json:
    """An entry of `/v1/health/state/{state}`. Where no check was asked for, the lease is the check."""
    told = known.check or Check()
    return {
        "Node": NODE,
        "CheckID": f"service:{known.id}",
        "Name": told.name or f"Service '{known.service}' check",
        "Status": known.status,
        "Notes": "",
        "Output": told.output,
        "ServiceID": known.id,
        "ServiceName": known.service,
        "ServiceTags": list(known.tags),
        "Type": "http" if told.http else "ttl",
        "Definition": {},
        "CreateIndex": known.created,
        "ModifyIndex": known.modified,
    }


def _routes(tags: tuple[str, ...], meta: Mapping[str, str]) -> tuple[str, ...]:
    told = [tag.removeprefix(ROUTE) for tag in tags if tag.startswith(ROUTE)]
    told += [meta["route"]] if "route" in meta else []
    for route in told:
        if not _ROUTE.fullmatch(route):
            raise ValueError(f"route `{route}` is not a path prefix such as `/api/x`")
    return tuple(told)


def _status(told: Mapping[str, Any]) -> Status:
    """A check is critical until it passes, unless the client says otherwise."""
    status = told.get("status") or "critical"
    if status not in STATUSES:
        raise ValueError(f"Check status `{status}` is none of {', '.join(STATUSES)}")
    return cast("Status", status)


def _health_path(found: Check | None, port: int) -> str:
    """Return the path of the HTTP check that the gateway may probe, where it is at the service's own port."""
    if not found or not found.http:
        return ""
    url = urlsplit(found.http)
    return (url.path or "/") if url.port == port else ""
