"""How security is verified: from outside, through the gateway."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Endpoint
from stepflow.playbook import Check, Evidence
from stepflow.workload import Live
from stepflow_playbooks.handoffs.security_service import CLIENT_SECRET, NAME, PROBE_SECRET
from stepflow_playbooks.handoffs.service_discovery import GATEWAY
from stepflow_playbooks.journey import http_client

if TYPE_CHECKING:
    import httpx2

OUTCOME = "Centralized security and auth"
CLOSED = f"/services/{NAME}/health/live"  # the service answers it to anyone, the gateway only with a token
AUDIT = "/api/audit"
PROBE = "probe"
FLOOD = 60  # requests; the probe's quota is 20 in 10 seconds
PROBLEM = "application/problem+json"
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
OK, UNAUTHORIZED, FORBIDDEN, TOO_MANY = 200, 401, 403, 429


def checks(client_id: str) -> tuple[Check, ...]:
    """Return the checks for a platform with this OAuth2 client."""

    async def token(live: Live) -> Evidence:
        return await token_accepted(live, client_id)

    async def scope(live: Live) -> Evidence:
        return await scope_enforced(live, client_id)

    from_outside = partial(Check, proves=(OUTCOME,), when="run", needs=(GATEWAY.workload,))
    return (
        Check("authorization server answers", metadata_answers),
        from_outside("a call without a token gets 401", call_without_token),
        from_outside("client credentials give a token that is accepted", token),
        from_outside("a token without the scope gets 403", scope),
        from_outside("a flood gets 429", flood_limited, timeout=40),
    )


async def metadata_answers(live: Live) -> Evidence:
    """The server publishes its metadata (RFC 8414)."""
    url = live.url(Endpoint(NAME, path="/.well-known/oauth-authorization-server"))
    async with http_client(url) as http:
        answer = await http.get(url)
    if answer.status_code != OK:
        raise TemporaryError(f"{url} answers {answer.status_code}")
    return f"issuer {answer.json()['issuer']}"


async def call_without_token(live: Live) -> Evidence:
    """The gateway answers 401 and how to authenticate."""
    url = live.url(GATEWAY) + CLOSED
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        answer = await http.get(url)
    challenge = answer.headers.get("www-authenticate", "")
    if answer.status_code != UNAUTHORIZED or not challenge.startswith("Bearer"):
        raise TemporaryError(f"{url} answers {answer.status_code}, WWW-Authenticate `{challenge}`")
    if not answer.headers.get("content-type", "").startswith(PROBLEM):
        raise PermanentError(f"{url} answers 401 as {answer.headers.get('content-type')}, not {PROBLEM}")
    return f"GET {CLOSED} without a token: 401, WWW-Authenticate: Bearer"


async def token_accepted(live: Live, client_id: str) -> Evidence:
    """A token with the scope of the audit log may read it."""
    url = live.url(GATEWAY)
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        token = await _token(http, url, client_id, live.secret(CLIENT_SECRET), "telemetry:read")
        answer = await http.get(url + AUDIT, headers={"Authorization": f"Bearer {token}"})
    if answer.status_code != OK:
        raise TemporaryError(f"GET {AUDIT} with a token of `{client_id}` answers {answer.status_code}")
    count = len(answer.json()["items"])
    entries = "1 entry" if count == 1 else f"{count} entries"
    return f"`{client_id}` got a token with telemetry:read; GET {AUDIT}: 200, {entries}"


async def scope_enforced(live: Live, client_id: str) -> Evidence:
    """A token with another scope may not."""
    url = live.url(GATEWAY)
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        token = await _token(http, url, client_id, live.secret(CLIENT_SECRET), "orders:read")
        answer = await http.get(url + AUDIT, headers={"Authorization": f"Bearer {token}"})
    if answer.status_code != FORBIDDEN:
        raise PermanentError(f"GET {AUDIT} with orders:read only answers {answer.status_code}, not 403")
    return f"GET {AUDIT} with orders:read only: 403"


async def flood_limited(live: Live) -> Evidence:
    """The client `probe`, whose quota is small, gets 429; other callers do not."""
    url = live.url(GATEWAY)
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        token = await _token(http, url, PROBE, live.secret(PROBE_SECRET), "")
        headers = {"Authorization": f"Bearer {token}"}
        for sent in range(1, FLOOD + 1):  # noqa: B007 - part of the evidence below
            answer = await http.get(f"{url}/api/registry", headers=headers)
            if answer.status_code == TOO_MANY:
                break
        else:
            raise TemporaryError(f"{FLOOD} requests of one client in a row, and none got 429")
        other = await http.get(f"{url}/api/registry")
    missing = [name for name in ("ratelimit", "ratelimit-policy", "retry-after") if name not in answer.headers]
    if missing or answer.json().get("type") != QUOTA:
        raise PermanentError(f"the 429 lacks {', '.join(missing) or 'the problem type'}: {answer.text[:200]}")
    if other.status_code != OK:
        raise PermanentError(f"while one client was limited, another caller got {other.status_code}")
    told = f"RateLimit: {answer.headers['ratelimit']}, Retry-After: {answer.headers['retry-after']}"
    return f"request {sent} of one client: 429, {told}; others pass"


async def _token(http: httpx2.AsyncClient, url: str, client_id: str, secret: str, scope: str) -> str:
    fields = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    answer = await http.post(f"{url}/oauth2/token", data=fields, auth=(client_id, secret))
    if answer.status_code != OK:
        raise TemporaryError(f"{url}/oauth2/token answers {answer.status_code} to `{client_id}`: {answer.text[:200]}")
    return str(answer.json()["access_token"])
