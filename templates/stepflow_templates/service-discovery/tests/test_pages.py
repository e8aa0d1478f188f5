"""The front page, as it comes through the gateway."""

from __future__ import annotations

import re

from stage import Stage


async def test_the_pages_are_whole_by_themselves_and_may_load_nothing_else(on_stage: Stage) -> None:
    for path in ("/", "/docs?service=service-discovery"):
        page = await on_stage.answers(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assets = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text))
        assert len(assets) == 3
        assert not [link for link in re.findall(r'(?:src|href)="([^"]+)"', page.text) if "//" in link]
        for asset in assets:
            await on_stage.answers(asset)
    await on_stage.answers("/assets/..%5csettings.py", 400)
    await on_stage.answers("/assets/settings.py", 404)


async def test_the_list_shows_each_service_with_its_instances_and_documents(on_stage: Stage) -> None:
    meta = {"openapi": "/openapi.json", "ui": "/listed", "title": "List", "about": "What is listed"}
    async with on_stage.backend("listed", routes=["/listed"], meta=meta):
        await on_stage.answers("/listed")
        registry = (await on_stage.answers("/api/registry")).json()
    assert registry["platform"] == "platform"
    shown = {each["name"]: each for each in registry["services"]}
    assert shown["service-discovery"]["state"] == "up"
    assert shown["listed"]["openapi"] == "/services/listed/openapi.json"
    assert [shown["listed"][key] for key in ("ui", "title", "about")] == ["/listed", "List", "What is listed"]
    assert [each["id"] for each in shown["listed"]["instances"]] == ["listed-1"]


async def test_the_services_own_api_is_documented(on_stage: Stage) -> None:
    document = (await on_stage.answers("/services/service-discovery/openapi.json")).json()
    assert {"/api/registry", "/v3/discovery:clusters"} <= set(document["paths"])
