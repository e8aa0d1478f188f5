"""Logs as JSON lines on stdout, each with `service`, `trace_id` and `span_id`; also kept for OTLP export."""

from __future__ import annotations

import json
import logging
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chassis.telemetry import BUFFERED, current_ids

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


@dataclass(frozen=True, slots=True)
class Line:
    """One log record as it is shown and exported; `time_ns` is nanoseconds since the epoch."""

    time_ns: int
    severity: str
    level: int
    logger: str
    message: str
    trace_id: str
    span_id: str
    extra: dict[str, Any] = field(default_factory=dict)


class JsonLines(logging.Handler):
    """Writes JSON lines and keeps the latest for export."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._who = {"service": service, "instance": instance}
        self.kept: deque[Line] = deque(maxlen=BUFFERED)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a closed stdout raises nothing."""
        try:
            line = self.line(record)
            self.kept.append(line)
            sys.stdout.write(self.text(line) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            self.handleError(record)

    def line(self, record: logging.LogRecord) -> Line:
        """Take the relevant parts of a record, with the ids of the current span."""
        trace_id, span_id = current_ids()
        extra = {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            extra["exception"] = logging.Formatter().formatException(record.exc_info)
        time_ns = int(record.created * 1_000_000_000)
        return Line(
            time_ns, record.levelname, record.levelno, record.name, record.getMessage(), trace_id, span_id, extra
        )

    def text(self, line: Line) -> str:
        """Format a record as one JSON object."""
        time = datetime.fromtimestamp(line.time_ns / 1_000_000_000, UTC).isoformat(timespec="milliseconds")
        shown = {"time": time.replace("+00:00", "Z"), "level": line.severity, **self._who, "logger": line.logger}
        shown |= {"message": line.message, "trace_id": line.trace_id, "span_id": line.span_id}
        return json.dumps({**line.extra, **shown}, default=str, ensure_ascii=False)


def install(service: str, instance: str, level: str) -> JsonLines:
    """Send everything that is logged to one handler, replacing what was there."""
    handler = JsonLines(service, instance)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncpg").setLevel(logging.ERROR)  # readiness reports it, without tracebacks
    for noisy in ("httpx2", "httpcore2", "nats", "uvicorn.access", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return handler
