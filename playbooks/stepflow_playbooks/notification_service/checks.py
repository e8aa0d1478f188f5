"""How notifications are verified: a new user gets the welcome mail."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.notification_service import NOTIFICATIONS
from stepflow_playbooks.journey import SIGN_IN, http_client, register_and_sign_in, sign_in_admin

EVENT_DRIVEN = ("Event-driven communication",)
OK, UNAUTHORIZED = 200, 401
POLL, PATIENCE = 0.1, 15.0  # seconds
TEMPLATE = "welcome"


def checks(channels: tuple[str, ...], *, sink: bool) -> tuple[Check, ...]:
    """Return the checks; with `sink` mails stay in the platform's own mailbox."""
    answers = Check("notifications require a token", notifications_answer)
    if "email" not in channels:
        return (answers,)
    arrives = mail_arrives if sink else mail_is_handed_over
    return (answers, Check("the mail arrives", arrives, proves=EVENT_DRIVEN, when="run", timeout=40, needs=SIGN_IN))


async def notifications_answer(live: Live) -> str:
    """The service is ready and answers 401 to a request without a token."""
    url = live.url(NOTIFICATIONS)
    async with http_client(url) as http:
        ready = (await http.get("/health/ready")).status_code
        guarded = (await http.get("/api/notifications")).status_code
    if (ready, guarded) != (OK, UNAUTHORIZED):
        raise TemporaryError(f"{url}: readiness {ready}, without a token {guarded}")
    return f"{url} is ready and requires a token"


async def mail_arrives(context: CheckContext) -> str:
    """The welcome mail of a new user is in the mailbox, once."""
    async with sign_in_admin(context) as admin, register_and_sign_in(context, admin) as http:
        email = (await _json(http, "/api/users/me"))["email"]
        listed = partial(_items, admin, "/mailbox/api/messages", {"to": email, "test": "true"})
        mails = await _until(listed, f"no mail to {email}")
        if len(mails) > 1:
            raise PermanentError(f"{len(mails)} mails to {email} instead of one")
        mail = await _json(admin, f"/mailbox/api/messages/{mails[0]['id']}")
    return f"the mail `{mail['subject']}` {mail['message_id']} arrived once"


async def mail_is_handed_over(context: CheckContext) -> str:
    """The SMTP server accepts the welcome mail of a new user."""
    async with sign_in_admin(context) as admin, register_and_sign_in(context, admin) as http:
        mine = await _until(partial(_settled, http), "the welcome message is not settled")
    if mine[0]["status"] != "sent":
        raise PermanentError(f"the welcome mail failed: {mine[0]['reason']}")
    return f"the SMTP server accepted the mail `{mine[0]['subject']}` {mine[0]['provider_id']}"


async def _settled(http: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - httpx2 is loaded when a check runs
    items = await _items(http, "/api/notifications", {})
    return [item for item in items if item["template"] == TEMPLATE and item["status"] in {"sent", "failed"}]


async def _items(http: Any, path: str, query: dict[str, str]) -> list[dict[str, Any]]:  # noqa: ANN401 - likewise
    items: list[dict[str, Any]] = (await _json(http, path, query))["items"]
    return items


async def _json(http: Any, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:  # noqa: ANN401 - likewise
    answer = await http.get(path, params=query)
    if answer.status_code != OK:
        raise TemporaryError(f"GET {path} answers {answer.status_code}: {answer.text[:160]}")
    body: dict[str, Any] = answer.json()
    return body


async def _until(ask: Any, what: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a function without arguments
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (found := await ask()):
        if asyncio.get_running_loop().time() > deadline:
            raise TemporaryError(f"{what} after {PATIENCE:g} s")
        await asyncio.sleep(POLL)
    rows: list[dict[str, Any]] = found
    return rows
