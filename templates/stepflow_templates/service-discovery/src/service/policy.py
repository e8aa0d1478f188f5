"""The gateway's policy as other services set it, read from the live configuration. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

OTLP_PORT = 4318
READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens are accepted: its name, the audience that tokens must have, its public keys."""

    issuer: str
    audience: str
    jwks: str  # JSON text


@dataclass(frozen=True, slots=True)
class Open:
    """Requests that need no token. `path` is exact, or a prefix when it ends in `*`; `*` inside is one segment."""

    methods: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Authz:
    """What authorizes each request: a service of the registry and a path of it."""

    service: str
    path: str


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where traces go by OTLP/HTTP, and what share of requests (0 to 1) starts one."""

    host: str
    port: int
    sampling: float


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy. Until the security service writes one, nothing is enforced: services check tokens anyway."""

    enforce: bool = False
    issuers: tuple[Issuer, ...] = ()
    public: tuple[Open, ...] = ()
    authz: Authz | None = None
    telemetry: Telemetry | None = None


def read_policy(config: Mapping[str, Any]) -> tuple[Policy, tuple[str, ...]]:
    """Read the configuration by key; an invalid value is left out and named in the second part."""
    problems: list[str] = []
    security = _security(config, problems)
    issuers = {issuer.issuer: issuer for issuer in _issuers(config, security, problems)}
    policy = Policy(
        enforce=security.get("enforce") is True,
        issuers=tuple(issuers[name] for name in sorted(issuers)),
        public=tuple(_public(security, problems)),
        authz=_authz(security, problems),
        telemetry=_telemetry(config, problems),
    )
    return policy, tuple(problems)


def read_open(text: str) -> Open:
    """Read `METHOD[,METHOD] PATH`, where `GET` includes `HEAD`. Raises `ValueError`."""
    methods, space, path = text.partition(" ")
    if not space or not path.startswith("/"):
        raise ValueError(f"public route `{text}` is not `METHOD /path`")
    names = tuple(name.strip().upper() for name in methods.split(","))
    return Open(methods=(*names, "HEAD") if "GET" in names and "HEAD" not in names else names, path=path)


def _security(config: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    value = config.get("security") or {}
    if isinstance(value, dict):
        return value
    problems.append(f"config `security` is {type(value).__name__}, not an object")
    return {}


def _issuers(config: Mapping[str, Any], security: Mapping[str, Any], problems: list[str]) -> Iterable[Issuer]:
    told = [(f"config `{key}`", value) for key, value in config.items() if key.startswith("issuers.")]
    told += [("config `security`", value) for value in security.get("issuers") or () if isinstance(value, dict)]
    for where, value in told:
        try:
            yield Issuer(str(value["issuer"]), str(value.get("audience", "platform")), _key_set(value["jwks"]))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{where}: {error}")


def _key_set(jwks: Mapping[str, Any]) -> str:
    if not jwks["keys"] or not all("kty" in key and "d" not in key for key in jwks["keys"]):
        raise ValueError("`jwks` holds no public key, or a private one")
    return json.dumps(jwks, sort_keys=True)


def _public(security: Mapping[str, Any], problems: list[str]) -> Iterable[Open]:
    for value in security.get("public") or ():
        try:
            yield read_open(f"{','.join(value.get('methods') or READS)} {value['path']}")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problems.append(f"config `security`: public {value!r}: {error}")


def _authz(security: Mapping[str, Any], problems: list[str]) -> Authz | None:
    value = security.get("authz")
    if not value:
        return None
    try:
        return Authz(str(value["service"]), str(value["path"]))
    except (KeyError, TypeError) as error:
        problems.append(f"config `security`: authz: {error}")
        return None


def _telemetry(config: Mapping[str, Any], problems: list[str]) -> Telemetry | None:
    value = config.get("telemetry")
    if not value:
        return None
    try:
        host, port = _collector(value["otlp_endpoint"])
        return Telemetry(host, port, min(max(float(value.get("sampling", 1.0)), 0.0), 1.0))
    except (KeyError, TypeError, ValueError) as error:
        problems.append(f"config `telemetry`: {error}")
        return None


def _collector(endpoint: str) -> tuple[str, int]:
    url = urlsplit(endpoint)
    if url.scheme != "http" or not url.hostname:
        raise ValueError(f"otlp_endpoint `{endpoint}` is not an http:// URL")
    return url.hostname, url.port or OTLP_PORT
