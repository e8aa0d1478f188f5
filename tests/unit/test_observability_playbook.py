"""The monitoring-observability playbook: what it declares, gives and renders, and when its checks are content."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import DataDir, Endpoint, Handoff, SecretFile
from stepflow.playbook import StepInput
from stepflow.workload import Instance
from stepflow_playbooks.handoffs.data_pipeline import PipelineHandoff
from stepflow_playbooks.handoffs.notification_service import NotificationHandoff
from stepflow_playbooks.handoffs.order_service import OrderHandoff
from stepflow_playbooks.monitoring_observability import checks
from stepflow_playbooks.monitoring_observability.playbook import MonitoringObservability, ObservabilitySettings

STEP = StepInput(
    number=7,
    title="Monitoring",
    prompt="",
    delivers="dashboards",
    platform="shop",
    target="local",
    settings=ObservabilitySettings(sampling=0.25, retention_hours=6, max_megabytes=64),
    features=frozenset(),
)


@dataclass
class Live:
    """A running platform as a check sees it, whose only reachable port is the OTLP one."""

    otlp: str
    out: Path = Path()
    target: str = "local"
    resolved: list[Endpoint] = field(default_factory=list)
    handoffs: tuple[Handoff, ...] = ()

    def url(self, endpoint: Endpoint) -> str:
        self.resolved.append(endpoint)
        return self.otlp

    def secret(self, secret: SecretFile) -> str:
        raise PermanentError(f"no secret {secret.name}")

    def instances(self, workload: str) -> tuple[Instance, ...]:
        raise PermanentError(f"no workload {workload}")

    async def kill(self, instance: Instance) -> None:
        raise PermanentError(f"no instance {instance.name}")


@contextmanager
def receiver(*, accepts: int, keeps: bool) -> Iterator[tuple[str, list[str]]]:
    """Serve an OTLP port that answers exports with `accepts`, and stores or loses what it is sent."""
    stored: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if keeps:
                stored.append(body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"])
            self._answer(accepts)

        def do_GET(self) -> None:
            self._answer(200 if self.path.rsplit("/", 1)[1] in stored else 404)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", stored
        finally:
            server.shutdown()
            thread.join()


def test_the_service_gets_its_port_its_store_and_what_was_set() -> None:
    (workload,) = MonitoringObservability().declare(STEP).workloads
    assert [(port.name, port.number, port.env) for port in workload.ports] == [
        ("http", 8000, "PORT"),
        ("otlp", 4318, "OTLP_PORT"),
    ]
    assert (workload.env["SAMPLING"], workload.env["RETENTION_HOURS"], workload.env["MAX_MEGABYTES"]) == (
        "0.25",
        "6",
        "64",
    )
    assert workload.env["DATA_DIR"] == DataDir("telemetry")
    assert workload.data == ("telemetry",)


def test_the_handoff_says_where_telemetry_goes_and_is_looked_at() -> None:
    handoff = MonitoringObservability().handoff(STEP)
    assert handoff.otlp == Endpoint("monitoring-observability", "otlp")
    assert (handoff.dashboards, handoff.routes, handoff.delivers) == (
        "/observability/",
        ("/observability",),
        "dashboards",
    )


def test_the_rendered_readme_tells_what_was_set() -> None:
    readme = MonitoringObservability().render(STEP)["monitoring-observability/README.md"].decode()
    assert "telemetry of shop" in readme
    assert "24 (here 6)" in readme


def test_sampling_above_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        ObservabilitySettings(sampling=2)


async def test_a_span_that_is_stored_satisfies_the_step_check() -> None:
    with receiver(accepts=200, keeps=True) as (url, stored):
        live = Live(url)
        assert await checks.telemetry_is_stored(live) == "a span sent by OTLP is stored"
    assert len(stored) == 1
    assert live.resolved == [Endpoint("monitoring-observability", "otlp")]


async def test_a_span_that_is_accepted_but_lost_fails_the_step_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "STORED_WITHIN", 0.1)
    with (
        receiver(accepts=200, keeps=False) as (url, _),
        pytest.raises(TemporaryError, match=r"not stored after 0\.1 s"),
    ):
        await checks.telemetry_is_stored(Live(url))


async def test_a_full_receiver_is_asked_again() -> None:
    with receiver(accepts=503, keeps=False) as (url, _), pytest.raises(TemporaryError, match="OTLP answers 503"):
        await checks.telemetry_is_stored(Live(url))


@pytest.mark.parametrize(
    ("handoffs", "listening"),
    [
        ((OrderHandoff(), PipelineHandoff(), NotificationHandoff()), {"data-pipeline", "notification-service"}),
        ((OrderHandoff(), PipelineHandoff(service="warehouse")), {"warehouse"}),
        ((OrderHandoff(), Handoff()), set()),
    ],
)
def test_only_services_that_the_platform_has_are_expected_in_the_trace_of_an_order(
    handoffs: tuple[Handoff, ...], listening: set[str]
) -> None:
    assert checks.listeners(Live("http://127.0.0.1:9", handoffs=handoffs)) == listening
