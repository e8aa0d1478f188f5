"""The request and response bodies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.account import Account, checked_address, checked_name, checked_password


def without_nul(text: str) -> str:
    """Reject what PostgreSQL cannot store; raises `ValueError`."""
    if "\0" in text:
        raise ValueError("a NUL character is not acceptable")
    return text


Address = Annotated[
    str,
    Field(max_length=254, examples=["ada@example.com"], json_schema_extra={"format": "email"}),
    AfterValidator(checked_address),
]
Name = Annotated[str, Field(min_length=1, max_length=200, examples=["Ada"]), AfterValidator(checked_name)]
Password = Annotated[
    str,
    Field(min_length=8, max_length=128, json_schema_extra={"format": "password"}, examples=["a long password"]),
    AfterValidator(checked_password),
]
Written = Annotated[str, Field(max_length=320), AfterValidator(without_nul)]
Known = Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]
Role = Literal["user", "admin"]


class Body(BaseModel):
    """What is sent to us; a member that we do not know is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Registration(Body):
    """A new account."""

    email: Address
    password: Password
    name: Name
    test: bool = Field(default=False, description="An account of a check, which counts nowhere: for administrators.")


class Change(Body):
    """A JSON merge patch (RFC 7396) of an account: members that are not there stay as they are.

    Changing one's own address or password takes the current password.
    """

    email: Address = Field(default_factory=str)
    name: Name = Field(default_factory=str)
    password: Password = Field(default_factory=str)
    roles: list[Role] = Field(default_factory=list, min_length=1, max_length=2)
    current_password: Known = Field(default_factory=str)


class Credentials(Body):
    """The credentials to sign in with."""

    email: Written
    password: Known


class RefreshToken(Body):
    """A refresh token."""

    refresh_token: Annotated[str, Field(max_length=200)]


class Tokens(BaseModel):
    """An access token for the platform, and what the next one is got with."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, RFC 6750
    expires_in: int
    refresh_token: str


class User(BaseModel):
    """An account as others see it."""

    id: UUID
    email: str
    name: str
    roles: list[Role]
    version: int
    created_at: datetime
    updated_at: datetime
    test: bool

    @classmethod
    def of(cls, account: Account) -> User:
        """Show an account."""
        return cls.model_validate(account, from_attributes=True)


class SignedIn(BaseModel):
    """A place where a user is signed in."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class SignedInList(BaseModel):
    """All of them."""

    items: list[SignedIn]
