"""The authorization server against RFC 6749, 6750, 7009, 7662, 8414, 9068."""

from __future__ import annotations

import base64
import json
from typing import Any

import asyncpg
import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

CLIENT = ("platform-client", "correct horse battery")
GRANT = {"grant_type": "client_credentials"}


async def a_token(http: httpx2.AsyncClient, **fields: str) -> dict[str, Any]:
    answer = await http.post("/oauth2/token", data=GRANT | fields, auth=CLIENT)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_client_gets_a_token_that_says_what_rfc_9068_wants(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/oauth2/token", data=GRANT | {"scope": "reports:read orders:read"}, auth=CLIENT)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 600, "orders:read reports:read")
    keys = KeySet.import_key_set((await http.get("/oauth2/jwks.json")).json())
    token = jwt.decode(body["access_token"], keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    assert token.claims["iss"] == "http://gateway.test"
    assert (token.claims["sub"], token.claims["client_id"]) == ("platform-client", "platform-client")
    assert (token.claims["aud"], token.claims["scope"]) == ("platform", "orders:read reports:read")
    assert {"iat", "exp", "jti"} <= set(token.claims)


async def test_the_public_keys_hold_nothing_private(http: httpx2.AsyncClient) -> None:
    keys = (await http.get("/oauth2/jwks.json")).json()["keys"]
    assert keys
    assert all("d" not in key for key in keys)


async def test_credentials_in_the_form_do_as_well(http: httpx2.AsyncClient) -> None:
    fields = GRANT | {"client_id": CLIENT[0], "client_secret": CLIENT[1]}
    assert (await http.post("/oauth2/token", data=fields)).status_code == 200


async def test_without_a_scope_the_client_gets_all_of_its_own(http: httpx2.AsyncClient) -> None:
    assert "telemetry:read" in (await a_token(http))["scope"].split()


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        (GRANT | {"scope": "everything"}, 400, "invalid_scope"),
    ],
)
async def test_a_request_that_is_not_acceptable_gets_the_error_of_rfc_6749(
    http: httpx2.AsyncClient, fields: dict[str, str], status: int, error: str
) -> None:
    answer = await http.post("/oauth2/token", data=fields or {"x": "y"}, auth=CLIENT)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_wrong_secret_and_an_unknown_client_get_the_same_answer(http: httpx2.AsyncClient) -> None:
    wrong = await http.post("/oauth2/token", data=GRANT, auth=(CLIENT[0], "wrong"))
    unknown = await http.post("/oauth2/token", data=GRANT, auth=("nobody", "wrong"))
    assert wrong.status_code == unknown.status_code == 401
    assert (
        wrong.json()
        == unknown.json()
        == {
            "error": "invalid_client",
            "error_description": "client authentication failed",
        }
    )
    assert wrong.headers["www-authenticate"].startswith("Basic")


async def test_a_parameter_that_comes_twice_is_refused(http: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = "grant_type=client_credentials&grant_type=password"
    answer = await http.post("/oauth2/token", content=twice, headers=headers, auth=CLIENT)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["error_description"] == "a parameter comes more than once"


async def test_two_ways_to_authenticate_at_once_are_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/oauth2/token", data=GRANT | {"client_secret": "x"}, auth=CLIENT)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_token_is_active_until_it_is_revoked(http: httpx2.AsyncClient) -> None:
    token = (await a_token(http, scope="orders:read"))["access_token"]
    before = (await http.post("/oauth2/introspect", data={"token": token}, auth=CLIENT)).json()
    assert (before["active"], before["scope"], before["client_id"]) == (True, "orders:read", "platform-client")
    assert (await http.post("/oauth2/revoke", data={"token": token}, auth=CLIENT)).status_code == 200
    after = await http.post("/oauth2/introspect", data={"token": token}, auth=CLIENT)
    assert after.json() == {"active": False}


async def test_a_revoked_token_is_refused_at_the_gateway(http: httpx2.AsyncClient) -> None:
    token = (await a_token(http))["access_token"]
    payload = token.split(".")[1]
    jti = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    asked = {"x-token-subject": "platform-client", "x-token-id": jti, "x-forwarded-for": "192.0.2.9"}
    assert (await http.get("/authz/api/orders", headers=asked)).status_code == 200
    await http.post("/oauth2/revoke", data={"token": token}, auth=CLIENT)
    refused = await http.get("/authz/api/orders", headers=asked)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


async def test_revoking_what_is_not_a_token_or_another_owners_changes_nothing(http: httpx2.AsyncClient) -> None:
    token = (await a_token(http))["access_token"]
    probe = ("probe", "staple staple staple")
    for sent in ("no token", token):
        assert (await http.post("/oauth2/revoke", data={"token": sent}, auth=probe)).status_code == 200
    assert (await http.post("/oauth2/introspect", data={"token": token}, auth=CLIENT)).json()["active"]


async def test_introspection_needs_a_client(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/oauth2/introspect", data={"token": "x"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_the_metadata_names_only_what_is_there(http: httpx2.AsyncClient) -> None:
    told = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert told["issuer"] == "http://gateway.test"
    assert told["grant_types_supported"] == ["client_credentials"]
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        path = told[name].removeprefix("http://gateway.test")
        assert (await http.post(path, data={"x": "y"}, auth=CLIENT)).status_code != 404
    assert (await http.get("/.well-known/openid-configuration")).status_code == 404


async def test_what_was_given_and_denied_is_in_the_log_for_those_who_may_read_it(http: httpx2.AsyncClient) -> None:
    await http.post("/oauth2/token", data=GRANT, auth=(CLIENT[0], "wrong"))
    token = (await a_token(http, scope="telemetry:read"))["access_token"]
    other = (await a_token(http, scope="orders:read"))["access_token"]
    listed = await http.get("/api/audit", headers={"Authorization": f"Bearer {token}"}, params={"limit": 2})
    assert [each["event"] for each in listed.json()["items"]] == ["token.issued", "token.issued"]
    rest = await http.get(
        "/api/audit", headers={"Authorization": f"Bearer {token}"}, params={"cursor": listed.json()["next"]}
    )
    assert [(each["event"], each["detail"]) for each in rest.json()["items"]] == [
        ("token.denied", {"error": "invalid_client"})
    ]
    assert (await http.get("/api/audit")).status_code == 401
    refused = await http.get("/api/audit", headers={"Authorization": f"Bearer {other}"})
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


@pytest.mark.parametrize("statement", ["UPDATE audit SET event = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_the_log_is_append_only(http: httpx2.AsyncClient, database_url: str, statement: str) -> None:
    await a_token(http)
    connection = await asyncpg.connect(database_url)
    with pytest.raises(asyncpg.RaiseError, match="the audit log is append-only"):
        await connection.execute(statement)
    await connection.close()
