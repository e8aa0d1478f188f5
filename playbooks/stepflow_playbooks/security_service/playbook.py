"""The playbook security-service: access tokens and rate limits for the whole platform."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from pydantic import Field

from stepflow.handoff import Credential, ServerFile, Value
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.handoffs.security_service import CLIENT_SECRET, NAME, PROBE_SECRET, SecurityHandoff
from stepflow_playbooks.security_service.checks import checks
from stepflow_playbooks.service import chassis_workload

DATABASE = "security"


class SecurityServiceSettings(Settings):
    """The OAuth2 client and the limits, in requests per minute."""

    client_id: str = Field(
        default="platform-client",
        pattern=r"^[A-Za-z0-9._~-]{1,64}$",
        description="The OAuth2 client that is created, with all scopes.",
    )
    token_lifetime: int = Field(default=600, ge=60, le=86_400, description="Seconds that a client's token is valid.")
    limit_per_caller: int = Field(default=600, ge=1, description="Limit of each user and each client.")
    limit_per_address: int = Field(default=1200, ge=1, description="Limit of each address without a token.")
    limit_sign_in: int = Field(
        default=120, ge=1, description="Limit of each address at endpoints that take passwords and secrets."
    )


class SecurityService(Playbook[SecurityServiceSettings]):
    """OAuth2 for clients, tokens required at the gateway, rate limits and an audit log."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "OAuth2 authorization server, gateway authentication, rate limits"
    settings = SecurityServiceSettings
    gives: ClassVar[type[SecurityHandoff]] = SecurityHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("oauth2", ("oauth2", "oauth", "authorization"), "tokens for machine clients", always=True),
        Feature("rate-limits", ("rate limiting", "rate limits"), "quotas by caller and address", always=True),
        Feature("audit", ("audit", "audit log"), "an append-only log of tokens issued and refused", always=True),
    )

    def render(self, step: StepInput[SecurityServiceSettings]) -> Mapping[str, bytes]:
        """Return the source of the service and of the chassis."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[SecurityServiceSettings]) -> Declaration:
        """Declare the service, its database, Valkey for the counters, and NATS."""
        workload = chassis_workload(NAME, _environment(step.settings), database=DATABASE)
        servers = (Server("nats"), Server("postgres", DATABASE), Server("valkey"))
        return Declaration(workloads=(workload,), servers=servers)

    def handoff(self, step: StepInput[SecurityServiceSettings]) -> SecurityHandoff:
        """Return the authorization server, and the credential of the client."""
        client_id = step.settings.client_id
        credential = Credential("client", client_id, CLIENT_SECRET)
        return SecurityHandoff(delivers=step.delivers, client_id=client_id, credentials=(credential,))

    def checks(self, step: StepInput[SecurityServiceSettings]) -> Collection[Check]:
        """Return the checks of tokens, scopes and rate limits."""
        return checks(step.settings.client_id)


def _environment(settings: SecurityServiceSettings) -> dict[str, Value]:
    return {
        "VALKEY_URL_FILE": ServerFile("valkey"),
        "CLIENT_ID": settings.client_id,
        "CLIENT_SECRET_FILE": CLIENT_SECRET,
        "PROBE_SECRET_FILE": PROBE_SECRET,
        "TOKEN_LIFETIME": str(settings.token_lifetime),
        "LIMIT_PER_CALLER": str(settings.limit_per_caller),
        "LIMIT_PER_ADDRESS": str(settings.limit_per_address),
        "LIMIT_SIGN_IN": str(settings.limit_sign_in),
    }
