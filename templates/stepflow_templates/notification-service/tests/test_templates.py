"""Template management: versions, conflicts, preview, restore, deletion; what a new version does to messages."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from test_service import became, http, js, send

__all__ = ["http", "js"]
TEMPLATES = "/api/notifications/templates"
NEW: dict[str, Any] = {
    "name": "parcel",
    "channel": "email",
    "locale": "en",
    "subject": "Parcel {{ number }}",
    "text": "It left{% if day %} on {{ day }}{% endif %}.",
    "html": "<p>{{ number }}</p>",
    "variables": [{"name": "number"}, {"name": "day", "required": False}],
}
CONTENT = {name: NEW[name] for name in ("subject", "text", "html", "variables")}


async def test_a_template_lives_through_its_versions(http: httpx2.AsyncClient) -> None:
    made = await http.post(TEMPLATES, json=NEW)
    assert (made.status_code, made.headers["etag"], made.json()["id"]) == (201, '"1"', "parcel.email.en")
    path = made.headers["location"]
    again = await http.post(TEMPLATES, json=NEW)
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "There is a template `parcel.email.en`: change it with PUT.",
    )
    second = CONTENT | {"text": "Gone: {{ number }}"}
    assert (await http.put(path, json=second)).status_code == 428
    changed = await http.put(path, json=second, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (await http.put(path, json=second, headers={"If-Match": '"1"'})).status_code == 412
    preview = await http.post(f"{path}/preview", json={"data": {"number": "<7>"}})
    assert preview.json() == {"subject": "Parcel <7>", "text": "Gone: <7>", "html": "<p>&lt;7&gt;</p>"}
    old = await http.post(f"{path}/preview", json={"data": {"number": "7"}, "version": 1})
    assert old.json()["text"] == "It left."
    restored = await http.post(f"{path}/versions/1/restore")
    assert (restored.json()["version"], restored.json()["text"]) == (3, NEW["text"])
    first = (await http.get(f"{path}/versions?limit=2")).json()
    rest = (await http.get(f"{path}/versions", params={"cursor": first["next"]})).json()
    assert [each["version"] for each in first["items"] + rest["items"]] == [3, 2, 1]
    assert (await http.delete(path, headers={"If-Match": '"2"'})).status_code == 412
    assert (await http.delete(path, headers={"If-Match": '"3"'})).status_code == 204
    gone = await http.get(path)
    assert (gone.status_code, gone.json()["detail"]) == (404, "There is no template `parcel.email.en`.")
    assert (await http.post(TEMPLATES, json=NEW)).json()["version"] == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"text": "{{ nmber }}"}, "text: uses `nmber`, which `variables` does not declare"),
        ({"text": "{{ number.__class__() }}"}, "text: line 1: a call is not available in templates"),
        ({"subject": " "}, "subject: an e-mail needs one"),
        ({"channel": "sms"}, "html: sms has text only"),
    ],
)
async def test_a_wrong_template_is_refused_with_where_and_why(
    http: httpx2.AsyncClient,
    change: dict[str, Any],
    says: str,
) -> None:
    answer = await http.post(TEMPLATES, json=NEW | change)
    assert (answer.status_code, answer.json()["detail"]) == (422, says)


async def test_a_number_is_not_a_boolean(http: httpx2.AsyncClient) -> None:
    answer = await http.post(TEMPLATES, json=NEW | {"variables": [{"name": "number", "required": 0}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/variables/0/required"


async def test_messages_keep_the_version_that_they_were_made_from(http: httpx2.AsyncClient) -> None:
    sent = await became(http, (await send(http)).json()["id"], "sent")
    changed = {"subject": "Hi", "text": "Hi {{ name }}", "variables": [{"name": "name"}]}
    await http.put(f"{TEMPLATES}/welcome.email.en", json=changed, headers={"If-Match": '"1"'})
    later = await became(http, (await send(http)).json()["id"], "sent")
    assert [(each["version"], each["subject"]) for each in (sent, later)] == [(1, "Welcome, Bob"), (2, "Hi")]
    ids = [each["id"] for each in (await http.get(TEMPLATES, params={"name": "welcome"})).json()["items"]]
    assert ids == ["welcome.email.de", "welcome.email.en", "welcome.push.en", "welcome.sms.en"]
