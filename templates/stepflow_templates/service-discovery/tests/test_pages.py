"""The front page, as it comes through the gateway."""

from __future__ import annotations

import re

from stage import Stage


async def test_the_pages_are_whole_by_themselves_and_may_load_nothing_else(on_stage: Stage) -> None:
    for path in ("/", "/docs?service=service-discovery"):
        page = await on_stage.answers(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
        assert len(assets) == 3
        assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', page.text))
        for asset in assets:
            await on_stage.answers(asset)
    await on_stage.answers("/assets/..%5csettings.py", 400)
    await on_stage.answers("/assets/settings.py", 404)


async def test_the_list_shows_each_service_with_its_instances_and_documents(on_stage: Stage) -> None:
    async with on_stage.backend("listed", routes=["/listed"], meta={"openapi": "/openapi.json"}):
        await on_stage.answers("/listed")
        services = (await on_stage.answers("/api/registry")).json()["services"]
    shown = {each["name"]: each for each in services}
    assert shown["service-discovery"]["state"] == "up"
    assert shown["listed"]["openapi"] == "/services/listed/openapi.json"
    assert [each["id"] for each in shown["listed"]["instances"]] == ["listed-1"]


async def test_the_services_own_api_is_documented(on_stage: Stage) -> None:
    document = (await on_stage.answers("/services/service-discovery/openapi.json")).json()
    assert {"/api/registry", "/v3/discovery:clusters"} <= set(document["paths"])
