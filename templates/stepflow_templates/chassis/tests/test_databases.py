"""Databases that tests share one after another."""

from __future__ import annotations

import asyncpg

from chassis.testing import empty_database, eventually


async def test_a_database_is_empty_when_it_is_lent_again(postgres_session: str) -> None:
    async with empty_database(postgres_session) as first:
        left_open = await asyncpg.connect(first)
        await left_open.execute("CREATE TABLE one (id int); CREATE SCHEMA other; CREATE TABLE other.two (id int)")
        await left_open.execute("BEGIN; LOCK TABLE one")
    async with empty_database(postgres_session) as second, empty_database(postgres_session) as third:
        assert first == second != third

        async def cut_off() -> bool:
            return bool(left_open.is_closed())

        await eventually(cut_off)
        connection = await asyncpg.connect(second)
        schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        assert [row["nspname"] for row in await connection.fetch(schemas)] == ["public"]
        assert await connection.fetchval("SELECT to_regclass('one')") is None
        await connection.close()
