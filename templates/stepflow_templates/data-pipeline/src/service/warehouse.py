"""The warehouse: one DuckDB file, owned by this process, used from one thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import duckdb

T = TypeVar("T")
OPTIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",  # never download code
    "autoload_known_extensions": "false",
    "threads": 2,
    "memory_limit": "512MB",
}
SCHEMA = Path(__file__).with_name("schema.sql")


class QueryTimeoutError(Exception):
    """A query took too long and was interrupted."""


class Warehouse:
    """The only way to the file. Each call runs to its end before the next begins; the event loop never waits."""

    def __init__(self, path: Path) -> None:
        """Remember the path; nothing is opened yet."""
        self.path = path
        self.scratch = path.parent / "scratch"
        """A folder for files that need not survive a restart."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        self._connection: duckdb.DuckDBPyConnection | None = None

    async def open(self) -> None:
        """Open the file, or create it. Raises `duckdb.Error` while another process has it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def close(self) -> None:
        """Flush and close the file."""
        if self._connection is not None:
            await self.call(duckdb.DuckDBPyConnection.close)
            self._connection = None
        self._thread.shutdown()

    async def call(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` in the warehouse's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(self._opened()))

    async def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` in a transaction: all of it or nothing."""

        def run(connection: duckdb.DuckDBPyConnection) -> T:
            connection.begin()
            try:
                result = work(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            return result

        return await self.call(run)

    async def read(self, work: Callable[[duckdb.DuckDBPyConnection], T], timeout: float) -> T:  # noqa: ASYNC109 - it interrupts DuckDB, which has no cancellation
        """Run a query for at most `timeout` seconds. Raises `QueryTimeoutError`."""

        def run(connection: duckdb.DuckDBPyConnection) -> T:
            timer = threading.Timer(timeout, connection.interrupt)
            timer.start()
            try:
                return work(connection)
            except duckdb.InterruptException:
                raise QueryTimeoutError(f"not done after {timeout:g} s") from None
            finally:
                timer.cancel()
                timer.join()

        return await self.call(run)

    def _open(self) -> None:
        if self._connection is not None:
            return
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        connection = duckdb.connect(str(self.path), config=OPTIONS)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(SCHEMA.read_text(encoding="utf-8"))
        self._connection = connection

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise RuntimeError("the warehouse is not open yet")
        return self._connection


def rows_of(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run a query and return its rows by column name."""
    result = connection.execute(query, parameters or [])
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
