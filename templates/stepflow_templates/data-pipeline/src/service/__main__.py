"""`python -m service`: run the data pipeline."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI

from chassis.app import Service, serve
from chassis.settings import load
from service import api, page, transform
from service.api import Parts
from service.pipeline import STREAMS, Pipeline
from service.settings import PipelineSettings
from service.warehouse import Warehouse


def build(settings: PipelineSettings) -> FastAPI:
    """Assemble the service; nothing starts yet."""
    service = Service(
        settings,
        title="Reports",
        version="1.0.0",
        summary="Event streams loaded into a DuckDB warehouse, modelled in SQL, served as reports.",
        routes=("/api/reports", "/reports"),
        public=("GET /reports",),
        meta={"ui": "/reports", "title": "Reports", "about": "Revenue, what sells, how far orders get"},
    )
    warehouse = Warehouse(settings.warehouse_dir / "warehouse.duckdb")
    pipeline = Pipeline(service.bus, warehouse, transform.shipped())
    service.on_start(warehouse.open)
    service.on_stop(warehouse.close)
    for stream in STREAMS:
        service.background(f"load {stream}", partial(pipeline.load, stream))
    service.background("refresh", pipeline.refresh)
    app = service.app(api.router, page.router)
    app.state.parts = Parts(service.bus, warehouse, pipeline, settings.query_timeout)
    return app


def main() -> None:
    """Read the environment and serve."""
    settings = load(PipelineSettings)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
