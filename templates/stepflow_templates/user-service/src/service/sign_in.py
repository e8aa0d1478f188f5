"""Signing in: exchanging credentials and refresh tokens for tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chassis.auth import Signer
from chassis.database import Database
from chassis.problem import Problem
from service.account import Account
from service.accounts import Accounts
from service.lockout import Lockout
from service.passwords import Passwords
from service.schemas import Tokens
from service.sessions import Sessions

CLIENT = "first-party"


@dataclass(frozen=True, slots=True)
class SignIn:
    """Exchanges credentials and refresh tokens for tokens."""

    database: Database
    accounts: Accounts
    sessions: Sessions
    passwords: Passwords
    lockout: Lockout
    signer: Signer
    access_seconds: int

    async def with_password(self, email: str, password: str, user_agent: str) -> Tokens:
        """Sign in. An unknown address gets the same answer as a wrong password, after the same time."""
        await self.lockout.attempt(email)
        known = await self.accounts.secret_of(email)
        right = await self.passwords.verify(known[1] if known else None, password)
        if known is None or not right:
            raise refused("The address or the password is wrong.")
        account, encoded = known
        if self.passwords.needs_rehash(encoded):
            await self.accounts.rehash(account.id, await self.passwords.hash(password))
        async with self.database.transaction() as connection:
            await self.lockout.forgive(connection, email)
            token = await self.sessions.open(connection, account.id, user_agent)
        return self._tokens(account, token)

    async def with_refresh_token(self, token: str) -> Tokens:
        """Stay signed in; roles are the current ones."""
        refreshed = await self.sessions.refresh(token)
        if refreshed is None:
            raise refused("The refresh token is not valid: sign in.")
        user_id, following = refreshed
        return self._tokens(await self.accounts.get(user_id), following)

    def _tokens(self, account: Account, refresh_token: str) -> Tokens:
        claims: dict[str, Any] = {"sub": str(account.id), "client_id": CLIENT, "scope": ""}
        claims["roles"] = list(account.roles)
        if account.test:
            claims["test"] = True
        access = self.signer.sign(claims, self.access_seconds)
        return Tokens(access_token=access, expires_in=self.access_seconds, refresh_token=refresh_token)


def refused(detail: str) -> Problem:
    """Make the answer to invalid credentials."""
    return Problem(401, "Not signed in", detail=detail, headers={"WWW-Authenticate": "Bearer"})
