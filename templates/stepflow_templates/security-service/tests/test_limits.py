"""Which quota counts, how it is reported, and that it holds under concurrency."""

from __future__ import annotations

import asyncio
import re
import secrets

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from chassis.testing import eventually
from service.authz import router
from service.counters import Counters
from service.limits import Caller, Counted, Quota, Standing, applicable, headers

DEFAULT = Quota("default", 600, 60, "caller")
PROBE = Quota("probe", 20, 10, "caller", callers=("probe",))
ANONYMOUS = Quota("anonymous", 1200, 60, "address")
SIGN_IN = Quota("sign-in", 120, 60, "address", methods=("POST",), paths=("/api/auth/*",))
ALL = (DEFAULT, PROBE, ANONYMOUS, SIGN_IN)


@pytest.mark.parametrize(
    ("caller", "request_line", "keys"),
    [
        (Caller("192.0.2.1", "ada"), "GET /api/orders", ["limit:default:caller:ada"]),
        (Caller("192.0.2.1", "probe"), "GET /api/orders", ["limit:probe:caller:probe"]),
        (Caller("192.0.2.1"), "GET /api/products", ["limit:anonymous:address:192.0.2.1"]),
        (
            Caller("192.0.2.1"),
            "POST /api/auth/login",
            ["limit:anonymous:address:192.0.2.1", "limit:sign-in:address:192.0.2.1"],
        ),
        (
            Caller("192.0.2.1", "ada"),
            "POST /services/user-service/api/auth/login",
            ["limit:default:caller:ada", "limit:sign-in:address:192.0.2.1"],
        ),
        (Caller("192.0.2.1"), "GET /api/auth/login", ["limit:anonymous:address:192.0.2.1"]),
    ],
)
def test_a_request_counts_against_who_asks_and_what_for(caller: Caller, request_line: str, keys: list[str]) -> None:
    method, path = request_line.split()
    assert [each.key for each in applicable(ALL, caller, method, path)] == keys


def test_the_fields_are_structured_as_the_draft_says() -> None:
    told = headers([Standing(DEFAULT, exceeded=False, remaining=42, reset=16.2)])
    assert told == {"RateLimit-Policy": '"default";q=600;w=60', "RateLimit": '"default";r=42;t=17'}


async def test_exactly_as_many_as_allowed_pass_when_all_ask_at_once(valkey_url: str) -> None:
    counters = Counters(SecretStr(valkey_url))
    counted = [Counted(Quota("few", 25, 3600, "caller"), f"limit:few:{secrets.token_hex(4)}")]
    answers = await asyncio.gather(*(counters.charge(counted) for _ in range(100)))
    await counters.close()
    assert sum(not standings[0].exceeded for _, standings in answers) == 25


async def test_a_refused_request_costs_nothing_of_its_other_quotas(valkey_url: str) -> None:
    counters = Counters(SecretStr(valkey_url))
    token = secrets.token_hex(4)
    wide = Counted(Quota("wide", 100, 60, "caller"), f"limit:wide:{token}")
    narrow = Counted(Quota("narrow", 1, 60, "caller"), f"limit:narrow:{token}")
    for _ in range(5):
        await counters.charge([wide, narrow])
    _, standings = await counters.charge([wide])
    await counters.close()
    assert standings[0].remaining == 98


async def test_a_quota_comes_back_when_its_window_has_passed(valkey_url: str) -> None:
    counters = Counters(SecretStr(valkey_url))
    counted = [Counted(Quota("brief", 2, 1, "caller"), f"limit:brief:{secrets.token_hex(4)}")]

    async def exceeded() -> bool:
        answers = await asyncio.gather(*(counters.charge(counted) for _ in range(5)))
        return any(standings[0].exceeded for _, standings in answers)

    async def free() -> bool:
        return not (await counters.charge(counted))[1][0].exceeded

    await eventually(exceeded)
    await eventually(free)
    await counters.close()


async def test_a_flood_gets_429_that_says_when_to_come_back_while_others_pass(http: httpx2.AsyncClient) -> None:
    flooding = {"x-token-subject": "probe", "x-forwarded-for": "192.0.2.1"}
    answers: list[httpx2.Response] = []
    while not answers or answers[-1].status_code == 200:
        answers.append(await http.get("/authz/api/products", headers=flooding))
    allowed, limited = answers[0], answers[-1]
    assert len(answers) > 20  # more where a window ended in between
    assert allowed.headers["ratelimit-policy"] == '"probe";q=20;w=10'
    assert re.fullmatch(r'"probe";r=\d+;t=\d+', allowed.headers["ratelimit"])
    assert limited.status_code == 429
    assert limited.headers["content-type"] == "application/problem+json"
    assert 1 <= int(limited.headers["retry-after"]) <= 10
    assert limited.headers["ratelimit"].startswith('"probe";r=0;t=')
    assert limited.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert limited.json()["violated-policies"] == ["probe"]
    assert limited.json()["instance"] == "/api/products"
    other = {"x-token-subject": "ada", "x-forwarded-for": "192.0.2.1"}
    assert (await http.get("/authz/api/products", headers=other)).status_code == 200


async def test_requests_pass_while_valkey_does_not_answer() -> None:
    app = FastAPI()
    app.include_router(router(Counters(SecretStr("redis://127.0.0.1:1/0")), ALL))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as alone:
        assert (await alone.post("/authz/api/auth/login")).status_code == 200
