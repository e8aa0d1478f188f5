"""The playbook security-service: who may call what, and how often, decided in one place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.handoff import Credential, ServerFile, Value
from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.security_service.checks import checks
from stepflow_playbooks.security_service.handoff import CLIENT_SECRET, NAME, PROBE_SECRET, SecurityHandoff
from stepflow_playbooks.security_service.settings import SecurityServiceSettings
from stepflow_playbooks.service import chassis_workload

DATABASE = "security"


class SecurityService(Playbook[SecurityServiceSettings]):
    """OAuth2 for clients, tokens demanded at the gateway, rate limits, audit log."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "OAuth2 authorization server, gateway authentication, rate limits"
    settings = SecurityServiceSettings
    gives: ClassVar[type[SecurityHandoff]] = SecurityHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("oauth2", ("oauth2", "oauth", "authorization"), "tokens for machine clients", always=True),
        Feature("rate-limits", ("rate limiting", "rate limits"), "quotas by caller and address", always=True),
        Feature("audit", ("audit", "audit log"), "an append-only log of tokens given and denied", always=True),
    )

    def render(self, step: StepInput[SecurityServiceSettings]) -> Mapping[str, bytes]:
        """The service's source."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[SecurityServiceSettings]) -> Declaration:
        """The service, its database, Valkey for the counters, NATS."""
        workload = chassis_workload(NAME, _environment(step.settings), database=DATABASE)
        servers = (Server("nats"), Server("postgres", DATABASE), Server("valkey"))
        return Declaration(workloads=(workload,), servers=servers)

    def handoff(self, step: StepInput[SecurityServiceSettings]) -> SecurityHandoff:
        """The server, and the client that the run created."""
        client_id = step.settings.client_id
        credential = Credential("client", client_id, CLIENT_SECRET)
        return SecurityHandoff(delivers=step.delivers, client_id=client_id, credentials=(credential,))

    def checks(self, step: StepInput[SecurityServiceSettings]) -> Collection[Check]:
        """401 without a token, a token that is accepted, 403 without the scope, 429 for a flood."""
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
