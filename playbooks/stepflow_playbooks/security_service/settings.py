"""What a step may set."""

from __future__ import annotations

from pydantic import Field

from stepflow.playbook import Settings


class SecurityServiceSettings(Settings):
    """Limits count requests a minute."""

    client_id: str = Field(
        default="platform-client",
        pattern=r"^[A-Za-z0-9._~-]{1,64}$",
        description="The OAuth2 client that the run creates, with all scopes.",
    )
    token_lifetime: int = Field(default=600, ge=60, le=86_400, description="Seconds that a client's token is valid.")
    limit_per_caller: int = Field(default=600, ge=1, description="Of each user and each client.")
    limit_per_address: int = Field(default=1200, ge=1, description="Without a token, of each address.")
    limit_sign_in: int = Field(default=120, ge=1, description="Of each address to what takes passwords and secrets.")
