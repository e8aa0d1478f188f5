"""Sends spans, log lines and metrics as OTLP over HTTP, once `config/telemetry` says where to.

Until then they wait in bounded buffers, and no exporter is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import time
from typing import TYPE_CHECKING, Any

from chassis.telemetry import Telemetry

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from httpx2 import AsyncClient

log = logging.getLogger(__name__)
INTERVAL = 1.0  # seconds between exports of spans and logs
METRICS_EVERY = 5.0  # seconds
BATCH = 512
TIMEOUT = 5.0  # seconds
FLUSH = 1.0  # seconds
HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}


class Exporter:
    """Exports one service's telemetry."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._endpoint = ""
        self._client: AsyncClient | None = None
        self._complained = False
        self._started_ns = time.time_ns()
        self._metrics_at = 0.0

    async def configure(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Take the live configuration: `{"otlp_endpoint": URL, "sampling": 0..1}`; None stops exporting."""
        if key != "telemetry":
            return
        wanted = value if isinstance(value, dict) else {}
        await self._close()
        self._endpoint = str(wanted.get("otlp_endpoint") or "").rstrip("/")
        self._telemetry.sampler.set_ratio(float(wanted.get("sampling", 1.0)))
        self._complained = False

    async def run(self) -> None:
        """Export until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            if self._endpoint:
                await self._export(with_metrics=time.monotonic() - self._metrics_at >= METRICS_EVERY)

    async def flush(self) -> None:
        """Export what is left, once and not for long, and close the connection."""
        if self._endpoint:
            self._complained = True  # the receiver may have been stopped first, which is expected
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._export(with_metrics=True), FLUSH)
        await self._close()

    async def _close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _export(self, *, with_metrics: bool) -> None:
        from chassis import otlp  # noqa: PLC0415 - protobuf is loaded when it is needed, not at every start

        spans = self._telemetry.spans.take(BATCH)
        if spans and not await self._post("traces", otlp.traces(spans)):
            self._telemetry.spans.put_back(spans)
        lines = [self._telemetry.lines.popleft() for _ in range(min(BATCH, len(self._telemetry.lines)))]
        if lines and not await self._post("logs", otlp.logs(self._telemetry.resource, lines)):
            self._telemetry.lines.extendleft(reversed(lines))
        if with_metrics:
            self._metrics_at = time.monotonic()
            await self._post("metrics", otlp.metrics(self._telemetry.resource, self._started_ns))

    async def _post(self, signal: str, message: Message) -> bool:
        """Send one request; a receiver that does not answer is logged once."""
        import httpx2  # noqa: PLC0415 - as above

        from chassis.http import no_certificates  # noqa: PLC0415 - as above

        if self._client is None:
            verify = self._endpoint.startswith("https:") or no_certificates()
            self._client = httpx2.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=verify)
        url = f"{self._endpoint}/v1/{signal}"
        try:
            body = gzip.compress(message.SerializeToString(), compresslevel=1)
            answer = await self._client.post(url, content=body, headers=HEADERS)
            answer.raise_for_status()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            if not self._complained:
                self._complained = True
                log.warning("telemetry cannot be sent to %s: %s", url, error or type(error).__name__)
            return False
        self._complained = False
        return True
