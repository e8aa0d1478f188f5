"""What a step of the playbook `data-pipeline` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

REPORTS = Endpoint("data-pipeline", path="/api/reports")


class PipelineHandoff(ServiceHandoff):
    """The pipeline: the streams that it loads, its warehouse, and the reports that it serves."""

    service: str = "data-pipeline"
    endpoint: Endpoint = Endpoint("data-pipeline")
    routes: tuple[str, ...] = ("/api/reports", "/reports")
    streams: tuple[str, ...] = ("users", "orders", "notifications")
    warehouse: str = "duckdb"
    reports: tuple[str, ...] = (
        "daily-revenue",
        "top-products",
        "order-funnel",
        "user-growth",
        "notification-outcomes",
    )
