"""Assembles the service."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fastapi import FastAPI

from chassis.app import Service
from chassis.auth import Signer
from chassis.problem import Problem
from service.account import ADMIN, USER, checked_address
from service.accounts import Accounts
from service.auth_api import router as auth_router
from service.commands import AccountCommands
from service.happenings import PUBLISHES
from service.lockout import Lockout
from service.parts import Parts
from service.passwords import Passwords
from service.sessions import Sessions
from service.settings import UserSettings
from service.sign_in import SignIn
from service.users_api import router as users_router

ISSUER = "urn:stepflow:users"
PUBLIC = ("POST /api/users", "POST /api/auth/*", "GET /api/auth/jwks.json")
CONFLICT = 409


def build(settings: UserSettings) -> FastAPI:
    """Make the app."""
    service = Service(
        settings,
        title="User service",
        version="1.0.0",
        summary="Accounts, sign-in and access tokens.",
        routes=("/api/users", "/api/auth"),
        public=PUBLIC,
        publishes=PUBLISHES,
    )
    database = service.database(migrations=Path(__file__).parent / "migrations")
    signer = Signer(service, name="users", issuer=ISSUER, passphrase=settings.signing_secret)
    accounts, sessions = Accounts(database), Sessions(database, settings.session_days)
    passwords = Passwords(settings.argon2_memory_kib, settings.argon2_passes)
    lockout = Lockout(database, settings.lockout_after)
    sign_in = SignIn(database, accounts, sessions, passwords, lockout, signer, settings.access_seconds)
    commands = AccountCommands(accounts, passwords)
    service.on_start(partial(make_administrator, settings, commands))
    app = service.app(users_router, auth_router)
    app.state.parts = Parts(accounts, commands, sessions, sign_in, signer)
    return app


async def make_administrator(settings: UserSettings, commands: AccountCommands) -> None:
    """Create the first administrator, unless the address has an account (from another replica, or before)."""
    email = checked_address(settings.admin_email)
    if settings.admin_password is None or await commands.accounts.secret_of(email):
        return
    try:
        await commands.register(email, "Administrator", settings.admin_password.get_secret_value(), (ADMIN, USER))
    except Problem as problem:
        if problem.status_code != CONFLICT:
            raise
