"""Who may do what: administrators everything, clients what their scope allows, users what is theirs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from chassis.auth import Principal, authenticated
from chassis.problem import Problem

WRITE = "notifications:write"
Caller = Annotated[Principal, Depends(authenticated)]


def is_admin(principal: Principal) -> bool:
    """Return whether a caller may see and change everything."""
    return principal.is_user and "admin" in principal.roles


def sending(principal: Caller) -> Principal:
    """Let administrators and clients with the scope `notifications:write` pass; raises `Problem` 403."""
    if is_admin(principal) or (not principal.is_user and WRITE in principal.scopes):
        return principal
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{WRITE}"'}
    detail = f"Messages are sent by administrators and by clients with the scope `{WRITE}`."
    raise Problem(403, detail=detail, headers=challenge)


def administering(principal: Caller) -> Principal:
    """Let administrators pass; raises `Problem` 403."""
    if is_admin(principal):
        return principal
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    raise Problem(403, detail="This takes the role `admin`.", headers=challenge)


Sender = Annotated[Principal, Depends(sending)]
Administrator = Annotated[Principal, Depends(administering)]
