"""`/api/notifications/templates`: administrators manage what messages say. Every change is a new version."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from chassis.etag import etag, if_match
from chassis.idempotency import idempotent
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem, declared
from service import template_store
from service.access import Administrator, administering
from service.locales import LOCALE
from service.parts import Parts, TheParts
from service.rendering import MAX_SOURCE, BadTemplateError, Rendered, Source, Variable, check, render
from service.shapes import Channel, Cursor, Limit
from service.template_store import Stored
from service.text import Text, clean

IfMatch = Annotated[str | None, Header(alias="If-Match", description="The `ETag` of the version that was read.")]
TemplateId = Annotated[Text, Path(max_length=100, description="`name.channel.locale`", examples=["welcome.email.en"])]
NEWEST = 2**31 - 1  # above every version
CONFLICT: dict[int | str, dict[str, Any]] = {
    412: declared("The template has changed since it was read."),
    428: declared("`If-Match` is missing."),
}

router = APIRouter(
    prefix="/api/notifications/templates",
    tags=["templates"],
    dependencies=[Depends(administering)],
    responses={status: PROBLEMS[status] for status in (401, 403, 422)},
)


class VariableShape(BaseModel):
    """A variable that a template uses."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    required: StrictBool = True


class Content(BaseModel):
    """What a template says: Jinja without assignments and calls, with its variables declared."""

    model_config = ConfigDict(extra="forbid")

    subject: Text = Field(default="", max_length=1000)
    text: Text = Field(min_length=1, max_length=MAX_SOURCE)
    html: Text = Field(default="", max_length=MAX_SOURCE, description="E-mail only; values are escaped.")
    variables: list[VariableShape] = Field(default_factory=list, max_length=100)


class NewTemplate(Content):
    """A template to be made."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")
    channel: Channel
    locale: str = Field(default="en", pattern=f"^{LOCALE.pattern}$")


class Template(Content):
    """A version of a template; `id` is `name.channel.locale`."""

    id: str
    name: str
    channel: Channel
    locale: str
    version: int
    created_by: str
    created_at: datetime


class Preview(BaseModel):
    """Data to fill a template in with."""

    model_config = ConfigDict(extra="forbid")

    data: dict[str, Any] = Field(default_factory=dict)
    version: int | None = Field(default=None, ge=1, le=NEWEST, description="The live one when empty.")


class Filled(BaseModel):
    """What a recipient would read."""

    subject: str
    text: str
    html: str


@router.get("")
async def listed(
    *,
    request: Request,
    response: Response,
    parts: TheParts,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[Text | None, Query(max_length=64)] = None,
    channel: Channel | None = None,
) -> Page[Template]:
    """List live templates by id."""
    after = clean(decode_cursor(cursor, str)[0]) if cursor else ""
    async with parts.database.acquire() as connection:
        rows = await template_store.page(connection, after, limit + 1, name=name, channel=channel)
    following = encode_cursor(rows[limit - 1].id) if rows[limit:] else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[_shown(row) for row in rows[:limit]], next=following)


@router.post(
    "",
    status_code=201,
    responses={409: declared("There is such a template already.")},
    dependencies=[Depends(idempotent)],
)
async def create(body: NewTemplate, parts: TheParts, admin: Administrator, response: Response) -> Template:
    """Make a template."""
    source = _checked(body, body.channel)
    async with parts.database.transaction() as connection:
        made = await template_store.create(
            connection, body.name, body.channel, body.locale, source=source, by=admin.subject
        )
    template = f"{body.name}.{body.channel}.{body.locale}"
    if made is None:
        raise Problem(409, "Exists already", detail=f"There is a template `{template}`: change it with PUT.")
    response.headers["Location"] = f"/api/notifications/templates/{template}"
    response.headers["ETag"] = etag(made.version)
    return _shown(made)


@router.get("/{template_id}", responses={404: PROBLEMS[404]})
async def one(template_id: TemplateId, parts: TheParts, response: Response) -> Template:
    """Show the live version."""
    async with parts.database.acquire() as connection:
        stored = _found(template_id, await template_store.get(connection, template_id))
    response.headers["ETag"] = etag(stored.version)
    return _shown(stored)


@router.put("/{template_id}", responses={404: PROBLEMS[404], **CONFLICT})
async def change(
    *,
    template_id: TemplateId,
    body: Content,
    parts: TheParts,
    admin: Administrator,
    response: Response,
    match: IfMatch = None,
) -> Template:
    """Make a new live version."""
    async with parts.database.transaction() as connection:
        current = _found(template_id, await template_store.lock(connection, template_id))
        if_match(match, current.version, required=True)
        source = _checked(body, current.channel)
        changed = _found(template_id, await template_store.change(connection, template_id, source, admin.subject))
    response.headers["ETag"] = etag(changed.version)
    return _shown(changed)


@router.delete("/{template_id}", status_code=204, responses={404: PROBLEMS[404], **CONFLICT})
async def delete(template_id: TemplateId, parts: TheParts, match: IfMatch = None) -> None:
    """Take a template out of use."""
    async with parts.database.transaction() as connection:
        current = _found(template_id, await template_store.lock(connection, template_id))
        if_match(match, current.version)
        await template_store.delete(connection, template_id)


@router.post("/{template_id}/preview", responses={404: PROBLEMS[404]})
async def preview(template_id: TemplateId, body: Preview, parts: TheParts) -> Filled:
    """Fill a version in; nothing is sent."""
    stored = await _version(parts, template_id, body.version)
    try:
        rendered: Rendered = render(stored.source, body.data)
    except BadTemplateError as problem:
        raise _unacceptable(problem) from None
    return Filled(subject=rendered.subject, text=rendered.text, html=rendered.html)


@router.get("/{template_id}/versions", responses={404: PROBLEMS[404]})
async def versions(
    *,
    request: Request,
    response: Response,
    template_id: TemplateId,
    parts: TheParts,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Template]:
    """List the versions, newest first."""
    before = min(int(decode_cursor(cursor, int)[0]), NEWEST) if cursor else NEWEST
    async with parts.database.acquire() as connection:
        _found(template_id, await template_store.get(connection, template_id))
        rows = await template_store.versions(connection, template_id, before, limit + 1)
    following = encode_cursor(rows[limit - 1].version) if rows[limit:] else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[_shown(row) for row in rows[:limit]], next=following)


@router.post("/{template_id}/versions/{version}/restore", responses={404: PROBLEMS[404]})
async def restore(
    *,
    template_id: TemplateId,
    version: Annotated[int, Path(ge=1, le=NEWEST)],
    parts: TheParts,
    admin: Administrator,
    response: Response,
) -> Template:
    """Make an old version's text the live one again, as a new version."""
    old = await _version(parts, template_id, version)
    async with parts.database.transaction() as connection:
        changed = _found(template_id, await template_store.change(connection, template_id, old.source, admin.subject))
    response.headers["ETag"] = etag(changed.version)
    return _shown(changed)


async def _version(parts: Parts, template_id: str, version: int | None) -> Stored:
    async with parts.database.acquire() as connection:
        if version is None:
            return _found(template_id, await template_store.get(connection, template_id))
        what = f"{template_id}` version `{version}"
        return _found(what, await template_store.version(connection, template_id, version))


def _found(template_id: str, stored: Stored | None) -> Stored:
    if stored is None:
        raise Problem(404, detail=f"There is no template `{template_id}`.")
    return stored


def _checked(content: Content, channel: str) -> Source:
    variables = tuple(Variable(each.name, each.required) for each in content.variables)
    source = Source(content.subject, content.text, content.html, variables)
    try:
        check(source, channel)
    except BadTemplateError as problem:
        raise _unacceptable(problem) from None
    return source


def _unacceptable(problem: BadTemplateError) -> Problem:
    errors = [{"pointer": f"#/{problem.part}", "detail": problem.message}]
    return Problem(422, "Template problem", detail=str(problem), errors=errors)


def _shown(stored: Stored) -> Template:
    source = stored.source
    names = ("id", "name", "channel", "locale", "version", "created_by", "created_at")
    variables = [VariableShape(name=each.name, required=each.required) for each in source.variables]
    plain = {name: getattr(stored, name) for name in names}
    return Template(subject=source.subject, text=source.text, html=source.html, variables=variables, **plain)
