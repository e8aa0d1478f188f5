"""`python -m service`: the OTLP port, the API and the page."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from chassis.app import Service, serve
from chassis.settings import load
from service.api import api_router
from service.intake import Intake
from service.page import page_router
from service.receiver import Receiver
from service.retention import Retention
from service.settings import ObservabilitySettings
from service.writer import Writer


def build(settings: ObservabilitySettings) -> FastAPI:
    """Assemble the service; nothing runs before it is started."""
    service = Service(
        settings,
        title="Monitoring and observability",
        version="1.0.0",
        summary="Traces, metrics and logs of the platform.",
        routes=("/observability",),
        meta={"ui": "/observability/", "title": "Observability", "about": "Service map, traces, logs and metrics"},
        public=("GET /observability", "GET /observability/", "GET /observability/static/*"),
    )
    writer = Writer(settings.data_dir, Retention(settings.retention_hours, settings.max_megabytes * 1024 * 1024))

    async def announce() -> None:
        endpoint = f"http://{settings.advertised}:{settings.otlp_port}"
        await service.config.put("telemetry", {"otlp_endpoint": endpoint, "sampling": settings.sampling})

    receiver = Receiver(Intake(writer.submit, settings.data_dir).app(), settings.host, settings.otlp_port, announce)

    async def prepare() -> None:
        await asyncio.to_thread(writer.start)

    async def take_in() -> None:
        await prepare()  # again, where the port was taken at first
        try:
            await receiver.run()
        finally:
            await asyncio.to_thread(writer.close)

    async def writable() -> None:
        if writer.problem:
            raise OSError(writer.problem)

    service.on_start(prepare)
    service.background("otlp", take_in)
    service.ready_check("otlp", receiver.check)
    service.ready_check("store", writable)
    return service.app(api_router(settings.data_dir, settings.service), page_router())


if __name__ == "__main__":
    configured = load(ObservabilitySettings)
    serve(build(configured), configured)
