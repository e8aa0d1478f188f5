"""Migrating as a command: it applies what is missing and ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chassis.testing.servers import free_port

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    scripts = tmp_path / "shop" / "migrations"
    scripts.mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").touch()
    (scripts / "0001_one.sql").write_text("CREATE TABLE one (id int)", "utf-8")
    (scripts / "0002_two.sql").write_text("CREATE TABLE two (id int)", "utf-8")
    return tmp_path


def started(package: Path, url: str, *, patience: str = "20", name: str = "shop") -> subprocess.Popen[str]:
    path = os.pathsep.join((str(SOURCE), str(package)))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "SERVICE": "shop", "MIGRATE_PATIENCE": patience}
    secret = package / "url"
    secret.write_text(url, "utf-8")
    command = [sys.executable, "-m", "chassis.migrate", name]
    env["DATABASE_URL_FILE"] = str(secret)
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]], str]:
    out, said = child.communicate(timeout=60)
    return child.returncode, [json.loads(line) for line in out.splitlines()], said


def names(lines: list[dict[str, Any]]) -> list[str]:
    return [line["migration"] for line in lines if "migration" in line]


async def test_each_script_is_applied_once_and_told_in_a_line(package: Path, database_url: str) -> None:
    code, lines, said = ended(started(package, database_url))
    assert (code, said) == (0, "")
    assert names(lines)[-2:] == ["service/0001_one.sql", "service/0002_two.sql"]
    code, lines, _ = ended(started(package, database_url))
    assert (code, [(line["message"], line["applied"]) for line in lines]) == (
        0,
        [("the database is as this version needs it", 0)],
    )


async def test_two_at_a_time_apply_each_script_once(package: Path, database_url: str) -> None:
    both = [ended(child) for child in [started(package, database_url), started(package, database_url)]]
    assert [code for code, _, _ in both] == [0, 0]
    applied = [name for _, lines, _ in both for name in names(lines)]
    assert sorted(applied) == sorted(set(applied))
    assert "service/0002_two.sql" in applied


async def test_a_script_that_cannot_be_applied_is_named_and_those_before_it_stay(
    package: Path, database_url: str
) -> None:
    (package / "shop" / "migrations" / "0002_two.sql").write_text("CREATE TABLE one (id int)", "utf-8")
    code, _, said = ended(started(package, database_url))
    assert (code, said) == (
        1,
        'error: migration `service/0002_two.sql` cannot be applied: relation "one" already exists\n',
    )
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT to_regclass('one')") == "one"
    await connection.close()


async def test_a_server_that_does_not_come_is_told_in_one_line(package: Path) -> None:
    code, lines, said = ended(started(package, f"postgresql://u:hidden@127.0.0.1:{free_port()}/d", patience="0.1"))
    assert code == 1
    assert said.startswith("error: PostgreSQL cannot be reached for 0.1 s: ")
    assert said.count("\n") == 1
    assert "hidden" not in said + json.dumps(lines)


def test_a_package_without_migrations_is_named(package: Path) -> None:
    code, _, said = ended(started(package, "postgresql://127.0.0.1/d", name="chassis.auth"))
    assert (code, said) == (1, "error: the package `chassis.auth` has no folder `migrations`\n")
