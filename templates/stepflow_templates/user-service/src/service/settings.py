"""What the service reads from its environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from chassis.settings import Settings


class UserSettings(Settings):
    """Settings of the user service."""

    service: str = "user-service"
    database_url: SecretStr
    admin_email: str = "admin@example.com"
    admin_password: SecretStr | None = None
    """Without one no administrator is created."""
    signing_secret: SecretStr | None = None
    """Encrypts the signing keys in the database."""
    access_seconds: int = Field(default=900, ge=10, le=86_400)
    session_days: int = Field(default=30, ge=1, le=365)
    lockout_after: int = Field(default=5, ge=1, le=100)
    """Failed sign-ins in a row until the next one has to wait, twice as long each time."""
    argon2_memory_kib: int = Field(default=19_456, ge=8_192, le=1_048_576)
    argon2_passes: int = Field(default=2, ge=1, le=10)
