"""What every service answers, whatever its domain."""

from __future__ import annotations

import string
from collections.abc import Callable
from urllib.parse import unquote

import httpx2
import pytest
from notes import notes_router

from chassis.app import Service
from chassis.testing import Client

PROBLEM = "application/problem+json"


def check_problem(answer: httpx2.Response, status: int, title: str) -> dict[str, object]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    body: dict[str, object] = answer.json()
    assert (body["status"], body["title"]) == (status, title)
    return body


async def test_probes_are_open_and_distinct(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    async with client(service.app()) as http:
        live = await http.get("/health/live")
        assert live.json() == {"status": "alive", "service": "notes", "instance": "test-1", "version": "1.2.3"}
        ready = await http.get("/health/ready")
        assert ready.json() == {"status": "ready", "checks": {"nats": "ok", "database": "ok"}}


async def test_a_draining_service_is_alive_but_not_ready(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    async with client(service.app()) as http:
        await service.drain()
        assert (await http.get("/health/live")).status_code == 200
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")


async def test_a_failing_check_makes_the_service_unready_and_says_why(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app()) as http:

        async def broken() -> None:
            raise ConnectionError("connection refused")

        service.ready_check("mail", broken)
        ready = await http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["mail"] == "ConnectionError: connection refused"


async def test_every_error_is_a_problem(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        check_problem(await http.get("/nowhere"), 404, "Not Found")
        wrong_method = await http.put("/notes/1")
        check_problem(wrong_method, 405, "Method Not Allowed")
        malformed = await http.post("/notes", content="{", headers={"Content-Type": "application/json"})
        check_problem(malformed, 400, "Malformed JSON")
        form = await http.post("/notes", content="text=a", headers={"Content-Type": "text/plain"})
        check_problem(form, 415, "Unsupported Media Type")
        missing = check_problem(await http.post("/notes", json={}), 422, "Unacceptable values")
        assert missing["errors"] == [{"pointer": "#/text", "detail": "Field required"}]
        path = check_problem(await http.get("/notes/x"), 422, "Unacceptable values")
        assert str(path["errors"]).startswith("[{'pointer': 'path/number'")


async def test_a_path_names_the_methods_of_all_its_routes_when_it_does_not_take_one(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        assert (await http.put("/notes/1")).headers["allow"] == "DELETE, GET, HEAD"
        assert (await http.delete("/notes")).headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/n%C3%B6where/a%20b", "//%5Bhost:x", "/100%25%3Fa"])
async def test_the_path_of_a_problem_is_a_uri_reference(
    make_service: Callable[[], Service], client: Client, path: str
) -> None:
    async with client(make_service().app()) as http:
        instance = str(check_problem(await http.get(f"http://test{path}"), 404, "Not Found")["instance"])
    assert set(instance) <= set(string.ascii_letters + string.digits + "-._~/%")
    assert unquote(instance) == unquote(path)


async def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    service.max_body = 100
    headers = {"Content-Type": "application/json"}

    async def chunks() -> object:
        for _ in range(20):
            yield b"x" * 10

    async with client(service.app(notes_router(service))) as http:
        told = await http.post("/notes", content=b"x" * 200, headers=headers)
        assert check_problem(told, 413, "Content Too Large")["detail"] == "The body may have up to 100 bytes."
        chunked = await http.post("/notes", content=chunks(), headers=headers)  # type: ignore[arg-type]
        check_problem(chunked, 413, "Content Too Large")


async def test_a_crash_tells_the_caller_nothing_but_where_to_look(
    make_service: Callable[[], Service], client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        answer = await http.get("/crash", headers={"X-Request-Id": "abc-1"})
        body = check_problem(answer, 500, "Internal Server Error")
    assert body["detail"] == "The error is logged under request id `abc-1`."
    assert "secret" not in answer.text
    assert "RuntimeError" in caplog.text


async def test_request_ids_are_echoed_and_made_where_missing_or_hostile(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app()) as http:
        assert (await http.get("/x", headers={"X-Request-Id": "r-1"})).headers["x-request-id"] == "r-1"
        made = (await http.get("/x", headers={"X-Request-Id": "a b\t<"})).headers["x-request-id"]
        assert len(made) == 36


async def test_metrics_count_by_route_template(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        for number in range(3):
            await http.get(f"/notes/{number}")
        text = (await http.get("/metrics")).text
    assert 'http_route="/notes/{number}"' in text
    assert 'http_route="/notes/1"' not in text
    assert 'build_info{python="' in text
    assert 'service="notes"' in text


async def test_quiet_paths_leave_no_metrics(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    service.quiet = ("/who",)
    async with client(service.app(notes_router(service))) as http:
        counted = [line for line in (await http.get("/metrics")).text.splitlines() if '"/who"' in line]
        await http.get("/who")
        assert [line for line in (await http.get("/metrics")).text.splitlines() if '"/who"' in line] == counted


async def test_head_is_answered_as_get_is_without_the_body(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        get, head = await http.get("/notes/1"), await http.head("/notes/1")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert (await http.head("/notes")).status_code == 405


async def test_openapi_declares_problems_for_every_operation(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            assert PROBLEM in operation["responses"]["default"]["content"]
    assert "401" in document["paths"]["/who"]["get"]["responses"]
