"""The registry as a Consul client sees it: py-consul against the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import consul
import httpx2
import pytest
from stage import Stage

from chassis.testing import eventually
from service.consul.browsers import is_private


@pytest.fixture
def client(on_stage: Stage) -> consul.Consul:
    return consul.Consul(host="127.0.0.1", port=on_stage.consul_port)


async def test_a_foreign_service_is_registered_routed_and_removed(on_stage: Stage, client: consul.Consul) -> None:
    async with on_stage.backend("real") as backend:
        port = await _port(client, "real")
        register = client.agent.service.register
        await _call(register, "legacy", service_id="legacy:1", address="127.0.0.1", port=port, tags=["route=/legacy"])
        await on_stage.answers("/legacy/x", by=backend.name)
        assert "legacy:1" in await _call(client.agent.services)
        assert (await _call(client.catalog.services))[1]["legacy"] == ["route=/legacy"]
        await _call(client.agent.service.deregister, "legacy:1")
        await on_stage.answers("/legacy/x", 503)

        async def forgotten() -> bool:
            return bool(await _call(client.health.service, "legacy") == (await _index(client), []))

        await eventually(forgotten)


async def test_a_ttl_check_is_critical_until_it_passes_and_again_when_it_is_late(client: consul.Consul) -> None:
    async def register(ttl: str) -> None:
        beat = {"service_id": "beat-1", "address": "127.0.0.1", "port": 9, "check": consul.Check.ttl(ttl)}
        await _call(client.agent.service.register, "beating", **beat)

    async def passing() -> int:
        return len((await _call(client.health.service, "beating", passing=True))[1])

    async def critical(index: str | None = None) -> tuple[str, list[str]]:
        found, states = await _call(client.health.state, "critical", index=index, wait="5s")
        return found, [each["Output"] for each in states if each["ServiceID"] == "beat-1"]

    await register("90s")
    assert await passing() == 0
    await _call(client.agent.check.ttl_pass, "service:beat-1")
    assert await passing() == 1
    assert (await critical())[1] == []
    await register("500ms")
    await _call(client.agent.check.ttl_pass, "service:beat-1")
    index, outputs = await critical()
    async with asyncio.timeout(60):
        while outputs != ["TTL expired"]:
            index, outputs = await critical(index)
    await _call(client.agent.service.deregister, "beat-1")


async def test_an_http_check_is_asked_and_an_instance_that_stays_critical_is_removed(
    on_stage: Stage, client: consul.Consul
) -> None:
    async with on_stage.backend("checked") as backend:
        port = await _port(client, "checked")
        for name, given in (("stays", {}), ("goes", {"deregister": "1s"})):
            check = consul.Check.http(f"http://127.0.0.1:{port}/health/ready", "1s", **given)
            probed = {"service_id": name, "address": "127.0.0.1", "port": port, "check": check}
            await _call(client.agent.service.register, "probed", **probed)
        await _status(client, "probed", {"stays": "passing", "goes": "passing"})
        backend.healthy = False
        await _status(client, "probed", {"stays": "critical"})
        await _call(client.agent.service.deregister, "stays")


async def test_a_question_with_an_index_waits_for_news_and_no_longer_than_it_says(client: consul.Consul) -> None:
    index, _ = await _call(client.catalog.services)
    waiting = asyncio.create_task(_call(client.catalog.services, index=index, wait="120s"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await _call(client.agent.service.register, "news", address="127.0.0.1", port=9)
    later, services = await asyncio.wait_for(waiting, 60)  # sooner than it would be answered without news
    assert later > index
    assert "news" in services
    assert (await _call(client.catalog.services, index=later, wait="100ms"))[0] == later
    await _call(client.agent.service.deregister, "news")


async def test_values_are_kept_listed_and_changed_only_against_the_index_that_was_read(client: consul.Consul) -> None:
    kv = client.kv
    assert await _call(kv.put, "app/db/host", "one", cas=0) is True
    assert await _call(kv.put, "app/db/host", "two", cas=0) is False
    index, entry = await _call(kv.get, "app/db/host")
    assert (entry["Key"], entry["Value"], str(entry["ModifyIndex"])) == ("app/db/host", b"one", index)
    assert await _call(kv.put, "app/db/host", "two", cas=index) is True
    assert await _call(kv.put, "app/db/pörtß", "3", flags=7) is True
    _, entries = await _call(kv.get, "app/", recurse=True)
    assert [(each["Key"], each["Value"], each["Flags"]) for each in entries] == [
        ("app/db/host", b"two", 0),
        ("app/db/pörtß", b"3", 7),
    ]
    assert await _call(kv.delete, "app/", recurse=True) is True
    assert (await _call(kv.get, "app/db/host"))[1] is None


async def test_a_question_for_a_value_waits_for_it_to_change(client: consul.Consul) -> None:
    await _call(client.kv.put, "watched", "old")
    index, _ = await _call(client.kv.get, "watched")
    waiting = asyncio.create_task(_call(client.kv.get, "watched", index=index, wait="120s"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await _call(client.kv.put, "watched", "new")
    assert (await asyncio.wait_for(waiting, 60))[1]["Value"] == b"new"


async def test_a_service_of_the_platform_cannot_be_changed_from_outside(on_stage: Stage) -> None:
    url = f"http://127.0.0.1:{on_stage.consul_port}/v1/agent/service"
    body = {"Name": "service-discovery", "ID": "service-discovery-1", "Port": 1}
    async with httpx2.AsyncClient() as http:
        answers = [
            await http.put(f"{url}/register", json=body),
            await http.put(f"{url}/deregister/service-discovery-1"),
        ]
        joining = await http.put(f"{url}/register", json=body | {"ID": "impostor"})
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].text == "`service-discovery-1` is the platform's own and keeps its entry by itself"
    assert joining.status_code == 403
    assert joining.text == "`service-discovery` is a service of the platform: only its own copies join it"


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Host": "rebound.example:8500"}, "requests to the host `rebound.example:8500`"),
        ({"Origin": "http://page.example"}, "a page of `http://page.example`"),
    ],
)
async def test_a_page_in_a_browser_is_not_answered(on_stage: Stage, headers: dict[str, str], text: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{on_stage.consul_port}/v1/agent/services", headers=headers)
    assert (answer.status_code, answer.text) == (403, f"Permission denied: this API does not answer {text}")


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1:8500", True),
        ("[::1]:8500", True),
        ("localhost", True),
        ("service-discovery:8500", True),
        ("service-discovery.shop.svc", True),
        ("127.0.0.1.nip.example", False),
        ("evil.example", False),
        ("evil.localhost.example", False),
        ("[::1", False),
    ],
)
def test_a_host_is_private_when_no_one_can_buy_its_name(host: str, private: bool) -> None:  # noqa: FBT001 - a table
    assert is_private(host) is private


async def test_a_key_that_is_too_long_for_a_subject_is_refused_and_the_connection_stays(on_stage: Stage) -> None:
    url = f"http://127.0.0.1:{on_stage.consul_port}/v1"
    async with httpx2.AsyncClient() as http:
        key = await http.put(f"{url}/kv/{'k' * 5000}", content=b"1")
        assert (key.status_code, key.text) == (400, "Key of 5000 bytes is too long, max size: 512 bytes.")
        assert (await http.put(f"{url}/kv/after", content=b"1")).text == "true"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"Port": 1}, "Missing service name"),
        ({"Name": "x" * 129, "Port": 1}, "Service name and ID may have up to 128 characters"),
        ({"Name": "x", "ID": "y" * 5000, "Port": 1}, "Service name and ID may have up to 128 characters"),
        (
            {"Name": "x y", "Port": 1},
            "Service name `x y` is not made of letters, digits, `-`, `_` and `.`",
        ),
        (
            {"Name": "x", "Address": "/run/x.sock", "Port": 1},
            "Service address `/run/x.sock` is neither an IP address nor a host's name",
        ),
        (
            {"Name": "x", "Port": 1, "Tags": ["route=/a/../api"]},
            "route `/a/../api` is not a path prefix such as `/api/x`",
        ),
        (
            {"Name": "x", "Port": 1, "Tags": ["route=/%61pi"]},
            "route `/%61pi` is not a path prefix such as `/api/x`",
        ),
        ({"Name": "x", "Port": 0}, "Service port 0 is not between 1 and 65535"),
        ({"Name": "x", "Port": 1, "Tags": ["route=/"]}, "route `/` is not a path prefix such as `/api/x`"),
        ({"Name": "x", "Port": 1, "Check": {"TTL": "1 s"}}, 'time: invalid duration "1 s"'),
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(on_stage: Stage, body: object, text: str) -> None:
    async with httpx2.AsyncClient() as http:
        url = f"http://127.0.0.1:{on_stage.consul_port}/v1/agent/service/register"
        answer = await http.put(url, json=body)
    assert (answer.status_code, answer.text) == (400, text)


async def _call(function: Callable[..., Any], *arguments: object, **options: object) -> Any:  # noqa: ANN401 - its answer
    """py-consul waits for its answers; a thread does so."""
    return await asyncio.to_thread(function, *arguments, **options)


async def _index(client: consul.Consul) -> str:
    return str((await _call(client.catalog.services))[0])


async def _port(client: consul.Consul, service: str) -> int:
    """The port of a service's instance, when it is listed."""

    async def listed() -> int:
        _, found = await _call(client.catalog.service, service)
        return int(found[0]["ServicePort"]) if found else 0

    return await eventually(listed)


async def _status(client: consul.Consul, service: str, expected: dict[str, str]) -> None:
    """Wait until a service has these instances, each with its status."""
    index, wait = None, "5s"
    async with asyncio.timeout(60):
        while True:
            index, entries = await _call(client.health.service, service, index=index, wait=wait)
            if {each["Service"]["ID"]: each["Checks"][0]["Status"] for each in entries} == expected:
                return
