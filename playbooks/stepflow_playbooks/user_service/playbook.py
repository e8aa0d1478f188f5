"""The playbook user-service: accounts with sign-in, on PostgreSQL and NATS."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from pydantic import Field

from stepflow.handoff import Credential, SecretFile, Value
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.handoffs.user_service import NAME, UserServiceHandoff
from stepflow_playbooks.service import chassis_workload
from stepflow_playbooks.user_service.checks import checks

ADMIN_PASSWORD = SecretFile("admin-password")
SIGNING_SECRET = SecretFile("user-service-signing")


class UserServiceSettings(Settings):
    """The administrator, the lifetime of tokens and sessions, and the number of replicas."""

    replicas: int = Field(default=2, ge=1, le=50, description="Replicas that run")
    admin_email: str = Field(
        default="admin@example.com",
        pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
        max_length=254,
        description="E-mail address of the administrator that is created; the password is random",
    )
    access_token_seconds: int = Field(
        default=900, ge=10, le=86_400, description="How long an access token is valid, in seconds"
    )
    session_days: int = Field(default=30, ge=1, le=365, description="Days after which an unused session ends")
    lockout_after: int = Field(
        default=5, ge=1, le=100, description="Failed sign-ins in a row after which the next one is delayed"
    )


class UserService(Playbook[UserServiceSettings]):
    """Accounts, sign-in, and access tokens that the other services accept."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Accounts, sign-in and signed access tokens on PostgreSQL"
    settings = UserServiceSettings
    gives: ClassVar[type[UserServiceHandoff]] = UserServiceHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature(
            "crud",
            ("CRUD operations", "CRUD", "user management"),
            "create, read, update and delete accounts",
            always=True,
        ),
        Feature("authentication", ("authentication", "sign-in", "login"), "passwords and signed tokens", always=True),
        Feature("documentation", ("API documentation", "OpenAPI"), "OpenAPI 3.1 at /openapi.json", always=True),
    )

    def render(self, step: StepInput[UserServiceSettings]) -> Mapping[str, bytes]:
        """Return the source of the service and of the chassis."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[UserServiceSettings]) -> Declaration:
        """Declare the service, its database and NATS."""
        settings = step.settings
        env: dict[str, Value] = {
            "ADMIN_EMAIL": settings.admin_email,
            "ADMIN_PASSWORD_FILE": ADMIN_PASSWORD,
            "SIGNING_SECRET_FILE": SIGNING_SECRET,
            "ACCESS_SECONDS": str(settings.access_token_seconds),
            "SESSION_DAYS": str(settings.session_days),
            "LOCKOUT_AFTER": str(settings.lockout_after),
        }
        workload = chassis_workload(NAME, env, replicas=settings.replicas, database="users")
        return Declaration(workloads=(workload,), servers=(Server("nats"), Server("postgres", "users")))

    def handoff(self, step: StepInput[UserServiceSettings]) -> UserServiceHandoff:
        """Return where accounts are, and the administrator's credential."""
        admin = Credential("admin", step.settings.admin_email, ADMIN_PASSWORD)
        return UserServiceHandoff(delivers=step.delivers, credentials=(admin,))

    def checks(self, step: StepInput[UserServiceSettings]) -> Collection[Check]:
        """Return the checks of documentation, tokens, registration and sign-in."""
        return checks(step.settings.admin_email)
