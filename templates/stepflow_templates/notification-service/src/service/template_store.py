"""Templates in PostgreSQL: every change is a new version, the highest is the live one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from asyncpg import Connection, Record

from service.builtin import builtins
from service.rendering import Source, Variable

RELEASE = "release"  # `created_by` of the versions that came with the service
# Every version of every template that is in use, and which of them is live.
VERSIONS = """(SELECT t.id, t.name, t.channel, t.locale, v.version, v.version = t.version AS live, v.subject, v.body,
    v.html, v.variables, v.created_by, v.created_at
    FROM templates t JOIN template_versions v ON v.template_id = t.id WHERE NOT t.deleted) AS versions"""
OF_NAME = f"""SELECT * FROM {VERSIONS} WHERE live AND name = $1 AND channel = $2 AND locale = ANY($3::text[])
    ORDER BY array_position($3::text[], locale) LIMIT 1"""  # noqa: S608 - of the constant above, as all of these
LIVE = f"SELECT * FROM {VERSIONS} WHERE live AND id = $1"  # noqa: S608 - of constants only
NUMBERED = f"SELECT * FROM {VERSIONS} WHERE id = $1 AND version = $2"  # noqa: S608 - of constants only
HISTORY = f"SELECT * FROM {VERSIONS} WHERE id = $1 AND version < $2 ORDER BY version DESC LIMIT $3"  # noqa: S608 - of constants only
ALL = f"""SELECT * FROM {VERSIONS} WHERE live AND id > $1 AND ($3::text IS NULL OR name = $3)
    AND ($4::text IS NULL OR channel = $4) ORDER BY id LIMIT $2"""  # noqa: S608 - of constants only


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a template. `id` is `name.channel.locale`."""

    id: str
    name: str
    channel: str
    locale: str
    version: int
    source: Source
    created_by: str
    created_at: datetime


async def find(connection: Connection, name: str, channel: str, locales: Sequence[str]) -> Stored | None:
    """Return the live version in the first of these locales that exists."""
    return _stored(await connection.fetchrow(OF_NAME, name, channel, list(locales)))


async def get(connection: Connection, template: str) -> Stored | None:
    """Return the live version."""
    return _stored(await connection.fetchrow(LIVE, template))


async def lock(connection: Connection, template: str) -> Stored | None:
    """Return the live version, locked until the transaction ends."""
    await connection.execute("SELECT 1 FROM templates WHERE id = $1 FOR UPDATE", template)
    return await get(connection, template)


async def page(
    connection: Connection, after: str, limit: int, *, name: str | None, channel: str | None
) -> list[Stored]:
    """List live versions by id, those after `after`."""
    return [_of(row) for row in await connection.fetch(ALL, after, limit, name, channel)]


async def versions(connection: Connection, template: str, before: int, limit: int) -> list[Stored]:
    """List the versions lower than `before`, newest first."""
    return [_of(row) for row in await connection.fetch(HISTORY, template, before, limit)]


async def version(connection: Connection, template: str, number: int) -> Stored | None:
    """Return one version."""
    return _stored(await connection.fetchrow(NUMBERED, template, number))


async def create(
    connection: Connection, name: str, channel: str, locale: str, *, source: Source, by: str
) -> Stored | None:
    """Create a template, or restore a deleted one as its next version; None when it already exists."""
    template = f"{name}.{channel}.{locale}"
    number = await connection.fetchval(
        """INSERT INTO templates (id, name, channel, locale, version, builtin) VALUES ($1, $2, $3, $4, 1, $5)
           ON CONFLICT (id) DO UPDATE SET deleted = false, version = templates.version + 1, builtin = $5,
           updated_at = now() WHERE templates.deleted RETURNING version""",
        *(template, name, channel, locale, by == RELEASE),
    )
    if number is None:
        return None
    await _write(connection, template, number, source, by)
    return await get(connection, template)


async def change(connection: Connection, template: str, source: Source, by: str) -> Stored | None:
    """Make a new live version."""
    number = await connection.fetchval(
        """UPDATE templates SET version = version + 1, builtin = $2, updated_at = now()
           WHERE id = $1 AND NOT deleted RETURNING version""",
        *(template, by == RELEASE),
    )
    if number is None:
        return None
    await _write(connection, template, number, source, by)
    return await get(connection, template)


async def delete(connection: Connection, template: str) -> None:
    """Hide a template; its versions stay for the messages that were made from them."""
    await connection.execute("UPDATE templates SET deleted = true, builtin = false WHERE id = $1", template)


async def seed(connection: Connection) -> None:
    """Load the release's templates; those that an administrator changed or deleted stay as they are."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('notification-templates'))")
    for item in builtins():
        template = f"{item.name}.{item.channel}.{item.locale}"
        row = await connection.fetchrow("SELECT builtin FROM templates WHERE id = $1", template)
        if row is None:
            await create(connection, item.name, item.channel, item.locale, source=item.source, by=RELEASE)
        elif row["builtin"]:
            current = await get(connection, template)
            if current and current.source != item.source:
                await change(connection, template, item.source, RELEASE)


async def _write(connection: Connection, template: str, number: int, source: Source, by: str) -> None:
    variables = [asdict(variable) for variable in source.variables]
    await connection.execute(
        """INSERT INTO template_versions (template_id, version, subject, body, html, variables, created_by)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        *(template, number, source.subject, source.text, source.html, variables, by),
    )


def _stored(row: Record | None) -> Stored | None:
    return _of(row) if row else None


def _of(row: Record) -> Stored:
    variables = tuple(Variable(**each) for each in row["variables"])
    source = Source(row["subject"], row["body"], row["html"], variables)
    plain = {name: row[name] for name in ("id", "name", "channel", "locale", "version", "created_by", "created_at")}
    return Stored(source=source, **plain)
