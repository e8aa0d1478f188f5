"""Text that PostgreSQL or UTF-8 cannot hold is refused, never a server error."""

from __future__ import annotations

import httpx2
import pytest
from test_service import http, js
from test_templates import TEMPLATES

__all__ = ["http", "js"]
TO_BOB = '{"channel": "email", "to": "b@example.org", '


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b"])
async def test_text_that_cannot_be_stored_is_refused(http: httpx2.AsyncClient, text: str) -> None:
    kind = {"Content-Type": "application/json"}
    bodies = (
        ("/api/notifications", TO_BOB + '"template": "welcome", "data": {"name": "T", "email": "e"}}'),
        ("/api/notifications", TO_BOB + '"template": "T"}'),
        ("/api/notifications", '{"channel": "push", "template": "welcome", "to": "T"}'),
        ("/api/notifications", TO_BOB + '"template": "welcome", "user_id": "T", "data": {"name": "n", "email": "e"}}'),
        (TEMPLATES, '{"name": "x", "channel": "sms", "text": "T"}'),
        (f"{TEMPLATES}/welcome.email.en/preview", '{"data": {"name": "T", "email": "e"}}'),
    )
    for path, body in bodies:
        answer = await http.post(path, content=body.replace("T", text).encode(), headers=kind)
        assert answer.status_code < 500, (path, body, answer.text)


@pytest.mark.parametrize("path", ["/api/notifications/a%00b", f"{TEMPLATES}/a%00b", f"{TEMPLATES}?name=a%00b"])
async def test_addresses_with_control_characters_lead_nowhere(http: httpx2.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code < 500
