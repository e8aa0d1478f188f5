"""Configuration from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from chassis.settings import Settings as ServiceSettings


class Settings(ServiceSettings):
    """The settings of the security service beside those of every service."""

    service: str = "security-service"
    database_url: SecretStr
    valkey_url: SecretStr
    client_id: str = Field(default="platform-client", pattern=r"^[A-Za-z0-9._~-]{1,64}$")
    """The initial confidential client, with all scopes."""
    client_secret: SecretStr = Field(min_length=16)
    probe_secret: SecretStr = Field(min_length=16)
    """The secret of the client `probe`, which has no scopes and a small quota: for testing the limits."""
    token_lifetime: int = Field(default=600, ge=60, le=86_400)
    """Seconds that an access token is valid."""
    limit_per_caller: int = Field(default=600, ge=1)
    """Requests a minute of each user and each client."""
    limit_per_address: int = Field(default=1200, ge=1)
    """Requests a minute without a token from each address."""
    limit_sign_in: int = Field(default=120, ge=1)
    """Requests a minute from each address to what takes passwords and secrets."""
