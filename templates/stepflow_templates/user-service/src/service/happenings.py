"""What the service publishes: the `data` of its events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel


class Registered(BaseModel):
    """A user registered."""

    user_id: UUID
    email: str
    name: str
    roles: tuple[str, ...]
    registered_at: datetime


class Updated(BaseModel):
    """An account changed; this is its current state."""

    user_id: UUID
    email: str
    name: str


class Deleted(BaseModel):
    """An account was deleted."""

    user_id: UUID


PUBLISHES: dict[str, type[BaseModel]] = {
    "users.v1.registered": Registered,
    "users.v1.updated": Updated,
    "users.v1.deleted": Deleted,
}
TYPES = {model: name for name, model in PUBLISHES.items()}
