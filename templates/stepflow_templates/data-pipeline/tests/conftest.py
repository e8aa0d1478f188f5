"""Real NATS for the tests, and warehouses of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.warehouse import Warehouse

pytest_plugins = ["chassis.testing"]


@pytest.fixture
async def warehouse(tmp_path: Path) -> AsyncIterator[Warehouse]:
    opened = Warehouse(tmp_path / "warehouse.duckdb")
    await opened.open()
    yield opened
    await opened.close()
