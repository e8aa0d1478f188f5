"""The gateway as people meet it: real Envoy, real control plane, small backends."""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import urlsplit

import httpx2
import pytest
from stage import Stage
from websockets.asyncio.client import connect

from chassis.testing import eventually

PROBLEM = "application/problem+json"


async def test_a_request_goes_to_the_service_with_the_longest_prefix(on_stage: Stage) -> None:
    async with (
        on_stage.backend("shop", routes=["/api/shop"]),
        on_stage.backend("cart", routes=["/api/shop/cart"]),
    ):
        await on_stage.answers("/api/shop/cart/1", by="cart-1")
        await on_stage.answers("/api/shop/carts", by="shop-1")


async def test_a_services_own_paths_are_reached_without_the_prefix_under_services(on_stage: Stage) -> None:
    async with on_stage.backend("plain"):
        told = (await on_stage.answers("/services/plain/openapi.json?x=1", by="plain-1")).json()
    assert (told["path"], told["query"]) == ("/openapi.json", "x=1")
    assert told["headers"]["x-forwarded-prefix"] == "/services/plain"


async def test_two_instances_share_the_requests(on_stage: Stage) -> None:
    async with on_stage.backend("pair", "1", routes=["/pair"]), on_stage.backend("pair", "2", routes=["/pair"]):
        await on_stage.answers("/pair", by="pair-1")
        await on_stage.answers("/pair", by="pair-2")
        async with httpx2.AsyncClient() as http:
            answers = [(await http.get(f"{on_stage.gateway}/pair")).json()["instance"] for _ in range(100)]
    assert min(Counter(answers).values()) > 20


async def test_what_a_client_says_about_its_origin_is_dropped(on_stage: Stage) -> None:
    spoofed = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Token-Subject": "admin",
        "X_Under_Score": "1",
        "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
        "X-Envoy-Retry-On": "5xx",
        "X-Envoy-Original-Path": "/evil",
        "X-Envoy-Decorator-Operation": "evil",
    }
    async with on_stage.backend("origin", routes=["/origin"]):
        seen = (await on_stage.answers("/origin", headers=spoofed)).json()["headers"]
    assert "6.6.6.6" not in seen["x-forwarded-for"]
    assert "," not in seen["x-forwarded-for"]
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == urlsplit(on_stage.gateway).netloc
    assert {"x-real-ip", "forwarded", "x-token-subject", "x_under_score"} & set(seen) == set()
    orders = {name: value for name, value in seen.items() if name.startswith("x-envoy-")}
    assert orders == {"x-envoy-expected-rq-timeout-ms": "2000", "x-envoy-external-address": "127.0.0.1"}


async def test_hop_by_hop_headers_end_at_the_gateway(on_stage: Stage) -> None:
    hop = {"Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", "TE": "gzip"}
    async with on_stage.backend("hop", routes=["/hop"]):
        seen = (await on_stage.answers("/hop", headers=hop)).json()["headers"]
    assert {"keep-alive", "proxy-connection", "te", "connection"} & set(seen) == set()


async def test_a_request_id_is_passed_on_and_answered_or_made(on_stage: Stage) -> None:
    async with on_stage.backend("ids", routes=["/ids"]):
        given = await on_stage.answers("/ids", headers={"X-Request-Id": "mine-1"})
        made = await on_stage.answers("/ids")
    assert given.headers["x-request-id"] == given.json()["headers"]["x-request-id"] == "mine-1"
    assert made.headers["x-request-id"] == made.json()["headers"]["x-request-id"]


async def test_a_path_is_normalised_before_it_is_routed(on_stage: Stage) -> None:
    async with on_stage.backend("norm", routes=["/norm"]):
        await on_stage.answers("/norm")
        for path in ("/other/../norm", "//norm", "/%6eorm"):
            assert await _raw(on_stage, path) == 200
        assert await _raw(on_stage, "/norm%2Fadmin") == 400


async def test_a_path_that_no_one_has_is_a_404_problem(on_stage: Stage) -> None:
    answer = await on_stage.answers("/nowhere?secret=1", 404)
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Nothing is served at this path.",
        "instance": "/nowhere",
        "request_id": answer.headers["x-request-id"],
    }


async def test_a_request_larger_than_the_limit_is_a_413_problem(on_stage: Stage) -> None:
    async with on_stage.backend("big", routes=["/big"]):
        fits = await on_stage.answers("/big", method="POST", content=b"x" * 60_000)
        answer = await on_stage.answers("/big", 413, method="POST", content=b"x" * 70_000)
    assert fits.json()["size"] == 60_000
    assert answer.headers["content-type"] == PROBLEM


async def test_a_service_that_does_not_answer_in_time_is_a_504_problem(on_stage: Stage) -> None:
    async with on_stage.backend("late", routes=["/late"]):
        await on_stage.answers("/late")
        answer = await on_stage.answers("/late/slow", 504)
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["retry-after"] == "1"


async def test_an_instance_that_is_unwell_is_not_asked(on_stage: Stage) -> None:
    async with on_stage.backend("ward", "1", routes=["/ward"]) as sick, on_stage.backend("ward", "2", routes=["/ward"]):
        await on_stage.answers("/ward", by="ward-1")
        await on_stage.answers("/ward", by="ward-2")
        sick.healthy = False

        async def all_by_the_other() -> bool:
            async with httpx2.AsyncClient() as http:
                answers = [await http.get(f"{on_stage.gateway}/ward") for _ in range(20)]
            return {answer.json().get("instance") for answer in answers} == {"ward-2"}

        await eventually(all_by_the_other)


async def test_a_service_that_left_or_says_that_it_is_not_ready_is_a_503_problem_that_says_when_to_come_back(
    on_stage: Stage,
) -> None:
    async with on_stage.backend("idle", routes=["/idle"], status="critical"):
        unready = await on_stage.answers("/idle", 503)
    gone = await on_stage.answers("/idle", 503)
    for answer in (unready, gone):
        assert answer.headers["content-type"] == PROBLEM
        assert answer.headers["retry-after"] == "1"
    assert gone.json()["detail"] == "No instance of the service is healthy."


async def test_a_503_is_repeated_where_that_is_harmless_and_passed_on_where_not(on_stage: Stage) -> None:
    async with on_stage.backend("flaky", routes=["/flaky"]) as backend:
        await on_stage.answers("/flaky")
        async with httpx2.AsyncClient(base_url=on_stage.gateway) as http:
            backend.failures = 2
            repeated = await http.get("/flaky/get")
            backend.failures = 1
            passed = await http.post("/flaky/post")
    assert (repeated.status_code, passed.status_code) == (200, 503)
    assert backend.asked.count("GET /flaky/get") == 3
    assert backend.asked.count("POST /flaky/post") == 1


async def test_an_event_stream_stays_open_beyond_the_time_for_an_answer(on_stage: Stage) -> None:
    async with on_stage.backend("sse", routes=["/sse"]) as backend, httpx2.AsyncClient(timeout=20) as http:
        await on_stage.answers("/sse")
        url, accept = f"{on_stage.gateway}/sse/events", {"Accept": "text/event-stream"}
        async with http.stream("GET", url, headers=accept) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "data: first"
            asyncio.get_running_loop().call_later(2.5, backend.release.set)
            assert "data: last" in [line async for line in lines]


async def test_a_websocket_is_passed_on(on_stage: Stage) -> None:
    async with on_stage.backend("talk", routes=["/talk"]):
        await on_stage.answers("/talk")
        async with connect(f"ws://{urlsplit(on_stage.gateway).netloc}/talk", open_timeout=60) as socket:
            await socket.send("hello")
            assert await socket.recv() == "talk-1 heard hello"


async def test_services_reach_each_other_by_name_at_the_mesh(on_stage: Stage) -> None:
    async with on_stage.backend("inner"), httpx2.AsyncClient(base_url=on_stage.mesh) as http:

        async def told() -> dict[str, str] | None:
            answer = await http.get("/any/path", headers={"Host": "inner"})
            return answer.json() if answer.status_code == 200 else None

        found = await eventually(told)
        unknown = await http.get("/", headers={"Host": "nobody"})
    assert found
    assert (found["instance"], found["path"]) == ("inner-1", "/any/path")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, PROBLEM)


async def test_the_control_planes_own_questions_are_not_for_the_public(on_stage: Stage) -> None:
    await on_stage.answers("/v3/discovery:clusters", 404, method="POST", json={})
    await on_stage.answers("/metrics", 404)


@pytest.mark.parametrize("path", ["metrics", "v3/discovery:listeners", "authz/api/orders", "/metrics", "x/../metrics"])
async def test_what_the_platforms_parts_ask_each_other_is_not_reached_through_a_service(
    on_stage: Stage, path: str
) -> None:
    async with on_stage.backend("plain"):
        await on_stage.answers("/services/plain/metrics-of-mine", by="plain-1")
        assert await _raw(on_stage, f"/services/plain/{path}") == 404


async def _raw(stage: Stage, path: str) -> int:
    """Ask for a path as it is written, which no HTTP client does."""
    at = urlsplit(stage.gateway)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status
