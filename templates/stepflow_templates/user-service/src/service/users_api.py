"""`/api/users`: register, read, change, delete: users their own account, administrators all."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from chassis.auth import Principal, authenticated, optional_principal
from chassis.etag import etag
from chassis.idempotency import idempotent
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem, declared
from service.account import Account
from service.commands import admin_only, own
from service.parts import TheParts
from service.schemas import Change, Registration, SignedIn, SignedInList, User

router = APIRouter(prefix="/api/users", tags=["users"])
Caller = Annotated[Principal, Depends(authenticated)]
Visitor = Annotated[Principal | None, Depends(optional_principal)]
IfMatch = Annotated[str | None, Header(description="The `ETag` of what the change was made from.")]
OURS: dict[int | str, dict[str, Any]] = {code: PROBLEMS[code] for code in (401, 403, 404)}
CHANGED: dict[int | str, dict[str, Any]] = OURS | {
    409: declared("The address is taken."),
    412: declared("It has changed since it was read."),
}
MERGE_PATCH = {
    "requestBody": {
        "required": True,
        "content": {
            media: {"schema": {"$ref": "#/components/schemas/Change"}}
            for media in ("application/merge-patch+json", "application/json")
        },
    }
}


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(idempotent)],
    responses={
        401: PROBLEMS[401],
        403: PROBLEMS[403],
        409: declared("The address has an account."),
        415: declared("The body is not JSON."),
    },
)
async def register(parts: TheParts, caller: Visitor, body: Registration, response: Response) -> User:
    """Open an account. Anybody may; a test account only an administrator."""
    if body.test and not (caller and caller.is_admin):
        raise Problem(403, detail="A test account is opened by an administrator.")
    account = await parts.commands.register(body.email, body.name, body.password, test=body.test)
    response.headers["Location"] = f"/api/users/{account.id}"
    return show(account, response)


@router.get("", responses={code: PROBLEMS[code] for code in (401, 403)})
async def list_users(  # noqa: PLR0917 - FastAPI passes them by name
    parts: TheParts,
    caller: Caller,
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    q: Annotated[str, Query(max_length=200, description="Part of an address or a name.")] = "",
    test: Annotated[bool, Query(description="Those of checks, instead of those of people.")] = False,  # noqa: FBT002 - a query parameter
) -> Page[User]:
    """List accounts, the oldest first. For administrators, and clients with the scope `users:read`."""
    if not (caller.is_admin or (not caller.is_user and "users:read" in caller.scopes)):
        raise Problem(403, detail="This needs the role `admin`.")
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    found = await parts.accounts.list(after=after, limit=limit + 1, search=q.replace("\0", ""), test=test)
    following = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[User.of(account) for account in found[:limit]], next=following)


@router.get("/me", responses=OURS)
async def read_me(parts: TheParts, caller: Caller, response: Response) -> User:
    """Read one's own account."""
    return show(await parts.accounts.get(own(caller)), response)


@router.patch("/me", responses=CHANGED, openapi_extra=MERGE_PATCH)
async def change_me(
    parts: TheParts, caller: Caller, body: Change, response: Response, if_match: IfMatch = None
) -> User:
    """Change one's own account (RFC 7396)."""
    return show(await parts.commands.change(caller, own(caller), body, if_match), response)


@router.delete("/me", status_code=204, responses=CHANGED)
async def delete_me(parts: TheParts, caller: Caller, if_match: IfMatch = None) -> None:
    """Delete one's own account."""
    await parts.accounts.delete(own(caller), match=if_match)


@router.get("/me/sessions", responses=OURS)
async def list_sessions(parts: TheParts, caller: Caller) -> SignedInList:
    """List where one is signed in."""
    return SignedInList(items=[SignedIn.model_validate(one) for one in await parts.sessions.of(own(caller))])


@router.delete("/me/sessions/{session_id}", status_code=204, responses=OURS)
async def end_session(parts: TheParts, caller: Caller, session_id: UUID) -> None:
    """Sign out somewhere else: its refresh token works no more."""
    if not await parts.sessions.revoke(own(caller), session_id):
        raise Problem(404, detail="There is no such session.")


@router.get("/{user_id}", responses=OURS)
async def read_user(parts: TheParts, caller: Caller, user_id: UUID, response: Response) -> User:
    """Read an account: one's own, or as an administrator or a client with the scope `users:read` any."""
    if not (str(user_id) == caller.subject or (not caller.is_user and "users:read" in caller.scopes)):
        admin_only(caller)
    return show(await parts.accounts.get(user_id), response)


@router.patch("/{user_id}", responses=CHANGED, openapi_extra=MERGE_PATCH)
async def change_user(  # noqa: PLR0917 - FastAPI passes them by name
    parts: TheParts, caller: Caller, user_id: UUID, body: Change, response: Response, if_match: IfMatch = None
) -> User:
    """Change an account (RFC 7396)."""
    return show(await parts.commands.change(caller, user_id, body, if_match), response)


@router.delete("/{user_id}", status_code=204, responses=CHANGED)
async def delete_user(parts: TheParts, caller: Caller, user_id: UUID, if_match: IfMatch = None) -> None:
    """Delete an account."""
    if str(user_id) != caller.subject:
        admin_only(caller)
    await parts.accounts.delete(user_id, match=if_match)


def show(account: Account, response: Response) -> User:
    """Return an account with its `ETag`."""
    response.headers["ETag"] = etag(account.version)
    return User.of(account)
