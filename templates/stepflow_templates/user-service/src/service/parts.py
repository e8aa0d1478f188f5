"""What the routes work with, assembled once and kept with the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from chassis.auth import Signer
from service.accounts import Accounts
from service.commands import AccountCommands
from service.sessions import Sessions
from service.sign_in import SignIn


@dataclass(frozen=True, slots=True)
class Parts:
    """The service's domain."""

    accounts: Accounts
    commands: AccountCommands
    sessions: Sessions
    sign_in: SignIn
    signer: Signer


def parts_of(request: Request) -> Parts:
    """Return the parts of the app that answers."""
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(parts_of)]
