"""What a step of this playbook may say."""

from __future__ import annotations

from pydantic import Field

from stepflow.playbook import Settings


class UserServiceSettings(Settings):
    """Typed inputs of the step."""

    replicas: int = Field(default=2, ge=1, le=50, description="Copies that run")
    admin_email: str = Field(
        default="admin@example.com",
        pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
        max_length=254,
        description="E-mail address of the administrator that is made; the password is random",
    )
    access_token_seconds: int = Field(default=900, ge=10, le=86_400, description="How long an access token is good")
    session_days: int = Field(default=30, ge=1, le=365, description="How long a session lasts without being used")
    lockout_after: int = Field(
        default=5, ge=1, le=100, description="Failed sign-ins in a row after which the next one has to wait"
    )
