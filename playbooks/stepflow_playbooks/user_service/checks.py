"""How the user service is verified."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.user_service import USERS
from stepflow_playbooks.journey import SIGN_IN, gateway_client, http_client, register_and_sign_in, sign_in_admin

if TYPE_CHECKING:
    import httpx2

PATHS = ("/api/users", "/api/users/me", "/api/users/{user_id}", "/api/auth/login", "/api/auth/refresh")
SECURITY = "Centralized security and auth"
OK, UNAUTHORIZED, NOT_FOUND = 200, 401, 404


def checks(admin_email: str) -> tuple[Check, ...]:
    """Return the checks; `admin_email` is the administrator's address."""
    from_outside = partial(Check, when="run", needs=SIGN_IN)
    return (
        Check("accounts are documented", is_documented),
        Check("tokens can be checked", keys_are_published),
        from_outside("a user registers, signs in and sees only themselves", journey, proves=(SECURITY,)),
        from_outside("the administrator signs in", partial(admin_signs_in, email=admin_email)),
        from_outside("no token, no account", refused_without_token, proves=(SECURITY,)),
    )


async def is_documented(live: Live) -> str:
    """Each copy describes its routes in OpenAPI."""
    async with http_client(live.url(USERS)) as http:
        url = f"{live.url(USERS)}/openapi.json"
        document = (await _expect(http, url, OK)).json()
    missing = [path for path in PATHS if path not in document["paths"]]
    if missing:
        raise PermanentError(f"{url} does not describe {', '.join(missing)}")
    return f"{url} describes {len(document['paths'])} paths in OpenAPI {document['openapi']}"


async def keys_are_published(live: Live) -> str:
    """The public keys of access tokens are published, and no private one."""
    async with http_client(live.url(USERS)) as http:
        url = f"{live.url(USERS)}/api/auth/jwks.json"
        keys = (await _expect(http, url, OK)).json()["keys"]
    if not keys or any("d" in key for key in keys):
        raise PermanentError(f"{url} publishes no keys, or private ones")
    return f"{url} has {len(keys)} public {'key' if len(keys) == 1 else 'keys'} ({keys[0]['alg']})"


async def journey(context: CheckContext) -> str:
    """Two users register and sign in through the gateway; neither sees the other's account."""
    async with (
        sign_in_admin(context) as admin,
        register_and_sign_in(context, admin) as http,
        register_and_sign_in(context, admin) as other,
    ):
        mine, theirs = await asyncio.gather(_expect(http, "/api/users/me", OK), _expect(other, "/api/users/me", OK))
        answer = await http.get(f"/api/users/{theirs.json()['id']}")
        if answer.status_code != NOT_FOUND:
            raise PermanentError(f"one user asked for another's account and got {answer.status_code}")
        emails = {mine.json()["email"], theirs.json()["email"]}
    return f"{len(emails)} users registered and signed in; each sees only their own account"


async def admin_signs_in(context: CheckContext, *, email: str) -> str:
    """The administrator signs in and lists the accounts."""
    async with sign_in_admin(context) as http:
        me = (await _expect(http, "/api/users/me", OK)).json()
        listed = (await _expect(http, "/api/users?limit=100", OK)).json()["items"]
    if me["email"] != email or "admin" not in me["roles"]:
        raise PermanentError(f"signed in as {me['email']} with the roles {me['roles']}, not as administrator {email}")
    return f"{email} signed in and lists {len(listed)} {'account' if len(listed) == 1 else 'accounts'}"


async def refused_without_token(live: Live) -> str:
    """A request without a token gets 401."""
    async with gateway_client(live) as http:
        answer = await _expect(http, "/api/users/me", UNAUTHORIZED)
    return f"GET {answer.url} without a token answers 401"


async def _expect(http: httpx2.AsyncClient, url: str, status: int) -> httpx2.Response:
    answer = await http.get(url)
    if answer.status_code != status:
        raise TemporaryError(f"GET {answer.url} answers {answer.status_code}, not {status}: {answer.text[:120]}")
    return answer
