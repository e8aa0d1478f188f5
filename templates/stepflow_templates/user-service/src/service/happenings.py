"""What the service tells others, as the `data` of its events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel


class Registered(BaseModel):
    """Somebody has an account."""

    user_id: UUID
    email: str
    name: str
    roles: tuple[str, ...]
    registered_at: datetime


class Updated(BaseModel):
    """An account changed; this is how it is now."""

    user_id: UUID
    email: str
    name: str


class Deleted(BaseModel):
    """An account is gone."""

    user_id: UUID


PUBLISHES: dict[str, type[BaseModel]] = {
    "users.v1.registered": Registered,
    "users.v1.updated": Updated,
    "users.v1.deleted": Deleted,
}
TYPES = {model: name for name, model in PUBLISHES.items()}
