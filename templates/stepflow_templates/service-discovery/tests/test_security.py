"""What the gateway does from the moment that `config/security` and `config/telemetry` are there, without a restart."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from stage import Stage
from starlette.types import Receive, Scope, Send

from chassis.testing import eventually

SECURITY = {
    "enforce": True,
    "public": [{"methods": ["GET"], "path": "/vault/open"}],
    "authz": {"service": "judge", "path": "/authz"},
}
ISSUER = "urn:test"
Sign = Callable[..., str]


@pytest.fixture
async def token(on_stage: Stage, issuer_key: ECKey) -> Sign:
    """Sign tokens of an issuer that this stage knows."""
    jwks = KeySet([issuer_key]).as_dict(private=False)
    async with on_stage.bucket("config") as bucket:
        value = {"issuer": ISSUER, "audience": "platform", "jwks": jwks}
        await bucket.put("issuers.test", json.dumps(value).encode())

    def sign(*, sub: str = "ada", lifetime_s: int = 300, **claims: object) -> str:
        standard = {"iss": ISSUER, "sub": sub, "aud": "platform", "exp": int(time.time()) + lifetime_s, "jti": "t-0"}
        header = {"alg": "ES256", "kid": "test", "typ": "at+jwt"}
        return jwt.encode(header, standard | claims, issuer_key, algorithms=["ES256"])

    return sign


class Judge:
    """Stands in for the authorization service: refuses the caller named `flood`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the security service does."""
        await receive()
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        if scope["path"] == "/health/ready":
            await self._send(send, 200, {})
            return
        self.asked.append(headers | {"path": scope["path"], "method": scope["method"]})
        limit = {"ratelimit": '"default";r=0;t=7', "ratelimit-policy": '"default";q=1;w=60'}
        if headers.get("x-token-subject") == "flood":
            refused = {"content-type": "application/problem+json", "retry-after": "7"}
            await self._send(send, 429, limit | refused, b'{"title": "Quota exceeded"}')
        else:
            await self._send(send, 200, limit)

    async def _send(self, send: Send, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def judge(on_stage: Stage, token: Sign) -> AsyncIterator[Judge]:
    """Enforcement, with a backend `vault` and a judge, until the test ends."""
    found = Judge()
    async with (
        on_stage.backend("vault", routes=["/vault"], public=["POST /vault/sign-up", "GET /vault/static/*"]),
        on_stage.served(found, "judge", "judge-1"),
        on_stage.bucket("config") as bucket,
    ):
        await on_stage.answers("/vault/closed", by="vault-1")
        await bucket.put("security", json.dumps(SECURITY).encode())
        await on_stage.answers("/vault/closed", 401)
        warm = bearer(token(sub="warm"))

        async def judged() -> bool:
            return "ratelimit" in (await on_stage.answers("/vault/closed", headers=warm)).headers

        await eventually(judged)
        yield found
        await bucket.delete("security")
        await on_stage.answers("/vault/closed")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_a_token_only_what_is_declared_open_is_answered(on_stage: Stage, judge: Judge) -> None:
    del judge
    refused = await on_stage.answers("/vault/closed", 401)
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["content-type"] == "application/problem+json"
    for method, path in (("GET", "/vault/open"), ("POST", "/vault/sign-up"), ("HEAD", "/vault/static/a/b.css")):
        await on_stage.answers(path, 200, method=method)
    for method, path in (("POST", "/vault/open"), ("GET", "/vault/open/more"), ("GET", "/vault/sign-up")):
        await on_stage.answers(path, 401, method=method)


async def test_a_good_token_passes_and_reaches_the_service_with_nothing_added(
    on_stage: Stage, judge: Judge, token: Sign
) -> None:
    del judge
    good = token(sub="ada")
    seen = (await on_stage.answers("/vault/closed", headers=bearer(good))).json()["headers"]
    assert seen["authorization"] == f"Bearer {good}"
    assert {"x-token-subject", "x-token-id"} & set(seen) == set()


@pytest.mark.parametrize("claims", [{"lifetime_s": -3600}, {"iss": "urn:somebody"}, {"aud": "elsewhere"}])
async def test_a_token_that_is_late_or_not_for_us_does_not_pass(
    on_stage: Stage, judge: Judge, token: Sign, claims: dict[str, object]
) -> None:
    del judge
    bad = bearer(token(**claims))
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{on_stage.gateway}/vault/closed", headers=bad)
        still_open = await http.get(f"{on_stage.gateway}/vault/open", headers=bad)
    assert answer.status_code in {401, 403}
    assert answer.headers["content-type"] == "application/problem+json"
    assert still_open.status_code == 200


async def test_a_token_in_the_address_is_not_looked_at(on_stage: Stage, judge: Judge, token: Sign) -> None:
    del judge
    await on_stage.answers(f"/vault/closed?access_token={token()}", 401)


async def test_the_authorization_service_hears_who_asks_and_its_limits_are_told(
    on_stage: Stage, judge: Judge, token: Sign
) -> None:
    spoofed = bearer(token(sub="ada", jti="t-1")) | {"X-Token-Subject": "root"}
    answer = await on_stage.answers("/vault/closed", headers=spoofed)
    assert answer.headers["ratelimit"] == '"default";r=0;t=7'
    asked = judge.asked[-1]
    assert (asked["x-token-subject"], asked["x-token-id"], asked["path"]) == ("ada", "t-1", "/authz/vault/closed")


async def test_what_the_authorization_service_refuses_is_passed_on_as_it_says(
    on_stage: Stage, judge: Judge, token: Sign
) -> None:
    del judge
    answer = await on_stage.answers("/vault/closed", 429, headers=bearer(token(sub="flood")))
    assert answer.json() == {"title": "Quota exceeded"}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["ratelimit"] == '"default";r=0;t=7'


async def test_without_the_authorization_service_tokens_are_still_demanded(on_stage: Stage, token: Sign) -> None:
    async with on_stage.backend("alone", routes=["/alone"]), on_stage.bucket("config") as bucket:
        await on_stage.answers("/alone")
        await bucket.put("security", json.dumps(SECURITY).encode())
        await on_stage.answers("/alone", 401)
        await on_stage.answers("/alone", headers=bearer(token()))
        await bucket.delete("security")
        await on_stage.answers("/alone")


async def test_enforcement_without_a_single_key_closes_everything_that_is_not_open(on_stage: Stage) -> None:
    async with (
        on_stage.backend("mute", routes=["/mute"], public=["GET /mute/open"]),
        on_stage.bucket("config") as bucket,
    ):
        await on_stage.answers("/mute")
        for key in [key for key in await bucket.keys() if key.startswith("issuers.")]:
            await bucket.delete(key)
        await bucket.put("security", json.dumps({"enforce": True}).encode())
        await on_stage.answers("/mute", 403)
        await on_stage.answers("/mute/open")
        await bucket.delete("security")
        await on_stage.answers("/mute")


async def test_traces_flow_when_someone_takes_them(on_stage: Stage) -> None:
    collector = Collector()
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with (
        on_stage.backend("traced", routes=["/traced"]),
        on_stage.served(collector, "collector", "collector-1") as port,
        on_stage.bucket("config") as bucket,
    ):
        endpoint = {"otlp_endpoint": f"http://127.0.0.1:{port}", "sampling": 1.0}
        await bucket.put("telemetry", json.dumps(endpoint).encode())
        await on_stage.answers("/traced")
        async with asyncio.timeout(60):
            while bytes.fromhex(trace) not in collector.received:
                headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
                seen = (await on_stage.answers("/traced", headers=headers)).json()["headers"]
                await asyncio.sleep(0.1)
        assert seen["traceparent"].split("-")[1] == trace
        assert b"gateway" in collector.received
        await bucket.delete("telemetry")


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.received = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep what arrives at /v1/traces."""
        more = True
        while more:
            message = await receive()
            self.received += message.get("body", b"") if scope["path"] == "/v1/traces" else b""
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
