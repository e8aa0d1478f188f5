"""Rate limits: which quota a request counts against, and how that is reported (draft RateLimit header fields). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.problem import Problem
from service.paths import matches

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit` requests in any `window` seconds. `by` says what is counted: `caller` (user or client) or `address`.

    One with `callers` replaces the general one for these; one with `paths` counts only these, beside the others.
    """

    name: str
    limit: int
    window: int
    by: str
    callers: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Its form in `config/security`."""
        told: dict[str, Any] = {"name": self.name, "limit": self.limit, "window": self.window, "by": self.by}
        rest = {"callers": self.callers, "methods": self.methods, "paths": self.paths}
        return told | {key: list(value) for key, value in rest.items() if value}


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: the subject of a token that the gateway has verified, or only an address."""

    address: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """A quota for one caller, and its key."""

    quota: Quota
    key: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A quota after a request: what remains, and in how many seconds it resets."""

    quota: Quota
    exceeded: bool
    remaining: int
    reset: float


def applicable(quotas: Sequence[Quota], caller: Caller, method: str, path: str) -> list[Counted]:
    """Return the quotas that a request counts against: one for its caller, and those of its path."""
    of_path = [quota for quota in quotas if quota.paths and method in quota.methods and matches(quota.paths, path)]
    general = [quota for quota in quotas if not quota.paths]
    if caller.subject:
        own = [quota for quota in general if caller.subject in quota.callers]
        of_caller = own or [quota for quota in general if quota.by == "caller" and not quota.callers]
    else:
        of_caller = [quota for quota in general if quota.by == "address"]
    return [Counted(quota, _key(quota, caller)) for quota in (*of_caller[:1], *of_path)]


def _key(quota: Quota, caller: Caller) -> str:
    who = f"caller:{caller.subject}" if quota.by == "caller" else f"address:{caller.address}"
    return f"limit:{quota.name}:{who}"


def headers(standings: Sequence[Standing]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` as structured fields (RFC 9651)."""
    if not standings:
        return {}
    policies = (f'"{each.quota.name}";q={each.quota.limit};w={each.quota.window}' for each in standings)
    limits = (f'"{each.quota.name}";r={each.remaining};t={math.ceil(each.reset)}' for each in standings)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)}


def refusal(standings: Sequence[Standing]) -> Problem:
    """The 429 that says which quotas are exceeded, and when to come back."""
    violated = [each for each in standings if each.exceeded]
    wait = max(math.ceil(max(each.reset for each in violated)), 1)
    return Problem(
        429,
        "Quota exceeded",
        type=QUOTA_EXCEEDED,
        detail=f"Too many requests: come back in {wait} s.",
        headers={**headers(standings), "Retry-After": str(wait), "Cache-Control": "no-store"},
        **{"violated-policies": [each.quota.name for each in violated]},
    )
