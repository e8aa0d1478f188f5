"""The mail sink: keeps mails across restarts, shows them to administrators only, survives hostile ones."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from conftest import Sink
from fastapi import FastAPI

from chassis.settings import load
from chassis.testing import Client
from service.mailbox.__main__ import build
from service.mailbox.settings import MailboxSettings
from service.mailbox.store import MailStore

MAIL = (
    b"From: a@example.org\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <1@x>\r\n\r\nHello\r\n"
)


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch, nats_url: str, tmp_path: Path) -> FastAPI:
    own = {"NATS_URL": nats_url, "INSTANCE": "t", "MAILBOX_DIR": str(tmp_path), "SMTP_PORT": "0", "DRAIN_SECONDS": "0"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return build(load(MailboxSettings))


@pytest.fixture
async def http(app: FastAPI, client: Client, token: Callable[..., str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(app) as opened:
        opened.headers["Authorization"] = f"Bearer {token(roles=('admin', 'user'))}"
        yield opened


def send(port: int, raw: bytes, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, "test", 60) as connection:
        connection.sendmail("a@example.org", recipients, raw)


async def test_mails_are_listed_by_recipient_and_shown_with_their_text(app: FastAPI, http: httpx2.AsyncClient) -> None:
    port = app.state.smtp[0].sockets[0].getsockname()[1]
    await asyncio.to_thread(send, port, MAIL, "B@example.org", "c@example.org")
    await asyncio.to_thread(send, port, MAIL.replace(b"<1@x>", b"<2@x>"), "d@example.org")
    page = (await http.get("/mailbox/api/messages", params={"to": "b@EXAMPLE.org"})).json()
    (mail,) = page["items"]
    assert (mail["from"], mail["to"], mail["subject"]) == ("a@example.org", ["b@example.org", "c@example.org"], "Grüße")
    shown = (await http.get(f"/mailbox/api/messages/{mail['id']}")).json()
    assert (shown["message_id"], shown["text"].strip(), shown["html"]) == ("<1@x>", "Hello", "")
    raw = await http.get(f"/mailbox/api/messages/{mail['id']}/raw")
    assert raw.content == MAIL
    first = (await http.get("/mailbox/api/messages?limit=1")).json()
    rest = (await http.get("/mailbox/api/messages", params={"limit": 1, "cursor": first["next"]})).json()
    assert [each["to"] for each in first["items"] + rest["items"]] == [["d@example.org"], mail["to"]]
    assert (await http.delete("/mailbox/api/messages")).json() == {"removed": 2}
    assert (await http.get(f"/mailbox/api/messages/{mail['id']}")).status_code == 404


async def test_no_one_but_an_administrator_reads_mails(http: httpx2.AsyncClient, token: Callable[..., str]) -> None:
    for path in ("/mailbox/api/messages", "/mailbox/api/messages/1", "/mailbox/api/messages/1/raw"):
        headers = {"Authorization": f"Bearer {token(roles=('user',))}"}
        assert (await http.get(path, headers=headers)).status_code == 403
        client = {"Authorization": f"Bearer {token(roles=(), scopes=('notifications:write',))}"}
        assert (await http.get(path, headers=client)).status_code == 403
    del http.headers["Authorization"]
    assert (await http.get("/mailbox/api/messages")).status_code == 401
    page = await http.get("/mailbox")
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"Subject: =?utf-8?b?////?=\r\n\r\nx",
        b"Content-Type: text/plain; charset=nonsense\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b'To: "<script>" <<<>>>,,;:\r\nMessage-ID: <<>>\r\nDate: never\r\n\r\nx',
    ],
)
async def test_a_malformed_mail_is_kept_and_can_be_shown(raw: bytes, app: FastAPI, http: httpx2.AsyncClient) -> None:
    port = app.state.smtp[0].sockets[0].getsockname()[1]
    await asyncio.to_thread(send, port, raw, "b@example.org")
    (mail,) = (await http.get("/mailbox/api/messages")).json()["items"]
    assert (await http.get(f"/mailbox/api/messages/{mail['id']}")).status_code == 200


async def test_mails_stay_over_a_restart_repeated_ones_are_one_and_the_oldest_go(sink: Sink, tmp_path: Path) -> None:
    for number in (1, 2, 3, 3):
        raw = MAIL.replace(b"<1@x>", b"<%d@x>" % number)
        await asyncio.to_thread(send, sink.port, raw, "b@example.org")
    assert len(await sink.mails()) == 3
    reopened = MailStore(tmp_path / "mails.sqlite", 2)
    assert len(reopened.page("~", 10, None)) == 3
    reopened.add("a@example.org", ["b@example.org"], MAIL.replace(b"<1@x>", b"<4@x>"))
    assert len(reopened.page("~", 10, None)) == 2
