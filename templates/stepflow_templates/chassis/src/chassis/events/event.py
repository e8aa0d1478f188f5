"""One event, as CloudEvents 1.0 in structured JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chassis.ids import uuid7
from chassis.telemetry import current_traceparent, service_name

CONTENT_TYPE = "application/cloudevents+json"


class Reject(Exception):  # noqa: N818 - an instruction to the consumer, not an error of ours
    """Raised by a handler for an event that can never be accepted: it goes to the dead letters at once."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `type` is also the NATS subject; `subject` is the aggregate's id.

    `test` marks what a test account did; it is an extension attribute of the CloudEvent.
    """

    type: str
    subject: str
    data: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid7()))
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    source: str = field(default_factory=lambda: service_name())  # noqa: PLW0108 - looked up when called
    traceparent: str | None = field(default_factory=current_traceparent)
    test: bool = False

    def encode(self) -> bytes:
        """Return the event as a CloudEvents JSON object."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "subject": self.subject,
            "time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": self.data,
        }
        if self.traceparent:
            event["traceparent"] = self.traceparent
        if self.test:
            event["test"] = True
        return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Event:
        """Read an event. Raises `Reject` for anything that is not a CloudEvent with a JSON object in it."""
        try:
            event = json.loads(payload)
            if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
                raise Reject("not a CloudEvent with a JSON object as its data")
            traceparent = event.get("traceparent")
            if event.get("specversion") != "1.0":
                raise Reject(f"CloudEvents version {event.get('specversion')!r} is not 1.0")
            return cls(
                type=str(event["type"]),
                subject=str(event.get("subject", "")),
                data=event["data"],
                id=str(event["id"]),
                time=datetime.fromisoformat(event["time"]) if "time" in event else datetime.now(UTC),
                source=str(event["source"]),
                traceparent=traceparent if isinstance(traceparent, str) else None,
                test=event.get("test") is True,
            )
        except KeyError as error:
            raise Reject(f"the CloudEvent has no `{error.args[0]}`") from error
        except (ValueError, TypeError) as error:
            raise Reject(f"not a CloudEvent in JSON: {error}") from error
