"""One event a line, as JSON, for programs."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Self, TextIO

from stepflow.events import Event, RunStarted, as_json


class Ndjson:
    """Writes each event as soon as it comes."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._run = 0

    def __call__(self, event: Event) -> None:
        """Write one line."""
        if isinstance(event, RunStarted):
            self._run = event.run
        self._stream.write(json.dumps(as_json(event, self._run), ensure_ascii=False) + "\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
