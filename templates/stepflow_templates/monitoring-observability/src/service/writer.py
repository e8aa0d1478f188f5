"""The one thread that writes: batches from a bounded queue, one transaction each, and removes what is too old."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from pathlib import Path

from chassis.metrics import counter, gauge
from service.database import open_writer
from service.inserts import Inserts
from service.records import Record
from service.retention import Retention, expire

log = logging.getLogger(__name__)
CAPACITY = 50_000  # records that wait to be written
_LARGEST = 5_000  # records in one transaction, about
_EXPIRE_EVERY = 60.0  # seconds
Batch = tuple[Record, ...]


class Writer:
    """Writes what is submitted until it is closed."""

    def __init__(self, folder: Path, retention: Retention) -> None:
        self._folder = folder
        self._retention = retention
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self.problem = ""

    def start(self) -> None:
        """Create the file and start writing. Raises `sqlite3.Error` or `OSError` when the file cannot be used."""
        if self._thread is None:
            connection = open_writer(self._folder)
            self._thread = threading.Thread(target=self._run, args=(connection,), name="writer", daemon=True)
            self._thread.start()

    def submit(self, records: Batch) -> bool:
        """Queue records; False when there is no room for them now."""
        with self._lock:
            if self._waiting and self._waiting + len(records) > CAPACITY:
                return False
            self._waiting += len(records)
        self._batches.put(records)
        return True

    def close(self) -> None:
        """Write what is queued, then stop."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._thread = None

    def _run(self, connection: sqlite3.Connection) -> None:
        inserts = Inserts(connection)
        expired = 0.0
        while (batch := self._take()) is not None:
            if batch:
                self._write(connection, inserts, batch)
            if time.monotonic() - expired > _EXPIRE_EVERY:
                self._expire(connection)
                inserts.forget()  # series may be gone
                expired = time.monotonic()
        connection.close()

    def _take(self) -> Batch | None:
        """Wait for a batch, with whatever else is queued; () when nothing arrived for a while, None at the end."""
        try:
            taken = self._batches.get(timeout=_EXPIRE_EVERY)
        except queue.Empty:
            return ()
        while taken is not None and len(taken) < _LARGEST:
            try:
                following = self._batches.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._batches.put(None)
                break
            taken += following
        return taken

    def _write(self, connection: sqlite3.Connection, inserts: Inserts, batch: Batch) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            inserts.write(batch)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            inserts.forget()
            counter("telemetry_dropped_records_total", "Records that could not be written.").inc(len(batch))
            if str(error) != self.problem:
                log.warning("%d records could not be written: %s", len(batch), error)
            self.problem = str(error)
        else:
            self.problem = ""
            counter("telemetry_stored_records_total", "Spans, log records and points written.").inc(len(batch))
        with self._lock:
            self._waiting -= len(batch)
            gauge("telemetry_queued_records", "Records that wait to be written.").set(self._waiting)

    def _expire(self, connection: sqlite3.Connection) -> None:
        try:
            expire(connection, self._retention, time.time_ns())
        except sqlite3.Error as error:
            log.warning("old telemetry could not be removed: %s", error)
