"""Who may do what to which account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.auth import Principal
from chassis.problem import Problem
from service.account import USER, Account
from service.accounts import Accounts
from service.passwords import Passwords
from service.schemas import Change


@dataclass(frozen=True, slots=True)
class AccountCommands:
    """Where changes to accounts are allowed or refused."""

    accounts: Accounts
    passwords: Passwords

    async def register(
        self, email: str, name: str, password: str, roles: tuple[str, ...] = (USER,), *, test: bool = False
    ) -> Account:
        """Open an account; `Problem` 409 when the address is taken."""
        return await self.accounts.register(email, name, await self.passwords.hash(password), roles, test=test)

    async def change(self, caller: Principal, user_id: UUID, body: Change, match: str | None) -> Account:
        """Make a change, if the caller is allowed to."""
        asked = body.model_fields_set
        mine = str(user_id) == caller.subject
        if not mine:
            admin_only(caller)
        if "roles" in asked and not caller.is_admin:
            raise Problem(403, detail="Only an administrator may change roles.")
        if mine and asked & {"email", "password"}:
            await self._confirm(user_id, body.current_password)
        changes: dict[str, Any] = {name: getattr(body, name) for name in ("email", "name") if name in asked}
        if "roles" in asked:
            changes["roles"] = sorted(set(body.roles) | {"user"})
        if "password" in asked:
            changes["password_hash"] = await self.passwords.hash(body.password)
        return await self.accounts.change(user_id, changes, match=match, end_sessions="password" in asked)

    async def _confirm(self, user_id: UUID, password: str) -> None:
        account = await self.accounts.get(user_id)
        known = await self.accounts.secret_of(account.email)
        if known is None or not await self.passwords.verify(known[1], password):
            errors = [{"pointer": "#/current_password", "detail": "not the current password"}]
            raise Problem(422, "Unacceptable values", detail="Send the current password as well.", errors=errors)


def own(caller: Principal) -> UUID:
    """Return the caller's account id; a machine client has none."""
    try:
        return UUID(caller.subject)
    except ValueError as error:
        raise Problem(404, detail="A client has no account: this is for people.") from error


def admin_only(caller: Principal) -> None:
    """Refuse other callers exactly as a missing account is refused, so that ids reveal nothing."""
    if not caller.is_admin:
        raise Problem(404, detail="There is no such user.")
