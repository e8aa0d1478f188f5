"""Fixtures of all tests: real servers, and replicas of a small service on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from notes import MIGRATION, NotesSettings

from chassis.app import Service
from chassis.settings import load

pytest_plugins = ["chassis.testing"]


@pytest.fixture
def make_service(settings_env: dict[str, str], tmp_path: Path) -> Callable[[], Service]:
    """Make services on the same servers: each call is another replica."""
    del settings_env
    (tmp_path / "0001_notes.sql").write_text(MIGRATION)

    def make() -> Service:
        service = Service(load(NotesSettings), title="Notes", version="1.2.3", routes=("/notes",))
        service.database(migrations=tmp_path)
        return service

    return make
