"""What the gateway and the limiter do by default. Pure."""

from __future__ import annotations

from typing import Any

from service.limits import Quota
from service.settings import Settings

PROBE = "probe"
MINUTE = 60
SIGN_IN = ("/api/auth/*", "/api/users", "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke")


def quotas(settings: Settings) -> tuple[Quota, ...]:
    """Each user and client has a quota of its own; without a token the address counts; passwords count more."""
    return (
        Quota("default", settings.limit_per_caller, MINUTE, "caller"),
        Quota("probe", 20, 10, "caller", callers=(PROBE,)),
        Quota("anonymous", settings.limit_per_address, MINUTE, "address"),
        Quota("sign-in", settings.limit_sign_in, MINUTE, "address", methods=("POST",), paths=SIGN_IN),
    )


def security(rules: tuple[Quota, ...]) -> dict[str, Any]:
    """The value of `config/security`: with it the gateway demands a token, except for what services declare public."""
    return {
        "enforce": True,
        "public": [],
        "rate_limits": [quota.described() for quota in rules],
        "authz": {"service": "security-service", "path": "/authz"},
    }
