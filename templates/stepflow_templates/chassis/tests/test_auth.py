"""Who may call: tokens, roles, scopes, keys."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from notes import notes_router
from pydantic import SecretStr

from chassis.app import Service
from chassis.auth import Principal, Signer, signer
from chassis.testing import Client, eventually

Token = Callable[..., str]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


async def test_without_a_token_the_answer_is_401_with_a_challenge(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        answer = await http.get("/who")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        basic = await http.get("/who", headers={"Authorization": "Basic YTpi"})
        assert 'error="invalid_request"' in basic.headers["www-authenticate"]


async def test_a_good_token_says_who_calls(make_service: Callable[[], Service], client: Client, token: Token) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        assert (await http.get("/who", headers=bearer(token(sub="u-1")))).json() == {"subject": "u-1"}


def test_only_the_claim_of_an_issuer_makes_a_test_account() -> None:
    for claim, test in ((True, True), ("true", False), (1, False), (None, False)):
        assert Principal.of_claims({"sub": "u-1", "test": claim}).test is test
    assert not Principal.of_claims({"sub": "u-1"}).test


async def test_a_bad_token_is_refused_with_the_reason(
    make_service: Callable[[], Service], client: Client, token: Token, issuer_key: ECKey
) -> None:
    good = token()
    header, claims, signature = good.split(".")
    none = encoded(b'{"alg":"none","typ":"at+jwt"}')
    hs256 = encoded(b'{"alg":"HS256","typ":"at+jwt","kid":"test"}')
    forged = hmac.digest(issuer_key.as_pem(private=False), f"{hs256}.{claims}".encode(), "sha256")
    confused = f"{hs256}.{claims}.{encoded(forged)}"
    claims_of_good = json.loads(base64.urlsafe_b64decode(claims + "=="))
    id_token = jwt.encode({"alg": "ES256", "kid": "test", "typ": "JWT"}, claims_of_good, issuer_key)
    refused = {
        "malformed": ["x", "a.b.c", f"{none}.{claims}.", f"{header}.{claims}.{signature[:-4]}AAAA", confused],
        "has expired": [token(lifetime_s=-60)],
        "not valid yet": [token(nbf=4102444800)],
        "another audience": [token(aud="elsewhere"), token(aud=["a", "b"])],
        "issuer is not known": [token(iss="urn:other")],
        "no subject": [without_subject(issuer_key, claims_of_good)],
        "not an access token": [id_token],
    }
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        for reason, tokens in refused.items():
            for bad in tokens:
                answer = await http.get("/who", headers=bearer(bad))
                assert (answer.status_code, reason in answer.json()["detail"]) == (401, True), answer.text
                assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def without_subject(key: ECKey, claims: dict[str, object]) -> str:
    kept = {name: value for name, value in claims.items() if name != "sub"}
    return jwt.encode({"alg": "ES256", "kid": "test", "typ": "at+jwt"}, kept, key)


async def test_roles_and_scopes_are_demanded(make_service: Callable[[], Service], client: Client, token: Token) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        assert (await http.get("/admin", headers=bearer(token()))).status_code == 403
        assert (await http.get("/admin", headers=bearer(token(roles=("admin", "user"))))).status_code == 200
        assert (await http.get("/scoped", headers=bearer(token()))).status_code == 200
        machine = token(roles=(), scopes=("other:read",))
        answer = await http.get("/scoped", headers=bearer(machine))
        assert answer.status_code == 403
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="notes:read"'
        allowed = token(roles=(), scopes=("other:read", "notes:read"))
        assert (await http.get("/scoped", headers=bearer(allowed))).status_code == 200


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_signer_keeps_its_key_encrypted_and_its_tokens_are_accepted_everywhere(
    make_service: Callable[[], Service], client: Client, algorithm: Literal["ES256", "RS256"]
) -> None:
    first, second = make_service(), make_service()
    passphrase = SecretStr("a passphrase")
    signers = [
        Signer(one, name="notes", issuer="urn:notes", algorithm=algorithm, passphrase=passphrase)
        for one in (first, second)
    ]
    async with client(first.app()), client(second.app(notes_router(second))) as http:
        assert signers[0].jwks() == signers[1].jwks()
        assert "d" not in signers[0].jwks()["keys"][0]
        token = signers[0].sign({"sub": "u-1", "roles": ["user"]}, 60)

        async def accepted() -> bool:
            return (await http.get("/who", headers=bearer(token))).status_code == 200

        assert await eventually(accepted)
        async with first.main_database.acquire() as connection:
            assert "ENCRYPTED" in await connection.fetchval("SELECT private_key FROM signing_keys")


async def test_rotation_signs_with_a_new_key_and_still_accepts_the_old_one_for_a_while(
    make_service: Callable[[], Service], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    keys = Signer(service, name="notes", issuer="urn:notes")
    async with client(service.app(notes_router(service))) as http:
        old = keys.sign({"sub": "u-1"}, 60)
        await keys.rotate()
        new = keys.sign({"sub": "u-1"}, 60)
        assert len(keys.jwks()["keys"]) == 2

        async def accepted() -> bool:
            return (await http.get("/who", headers=bearer(new))).status_code == 200

        assert await eventually(accepted)
        assert (await http.get("/who", headers=bearer(old))).status_code == 200
        monkeypatch.setattr(signer, "OVERLAP", timedelta(0))
        await keys.refresh()

        async def refused() -> bool:
            return (await http.get("/who", headers=bearer(old))).status_code == 401

        assert await eventually(refused)
        assert await accepted()
