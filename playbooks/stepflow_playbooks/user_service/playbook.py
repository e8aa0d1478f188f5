"""The playbook user-service: accounts with sign-in, on PostgreSQL and NATS."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from stepflow.handoff import Credential, SecretFile, Value
from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Server
from stepflow_playbooks.journey import ADMIN_PASSWORD
from stepflow_playbooks.service import chassis_workload
from stepflow_playbooks.user_service.checks import checks
from stepflow_playbooks.user_service.handoff import NAME, UserServiceHandoff
from stepflow_playbooks.user_service.settings import UserServiceSettings

SIGNING_SECRET = SecretFile("user-service-signing")


class UserService(Playbook[UserServiceSettings]):
    """Opens accounts, signs people in, and tells the others who they are."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Accounts, sign-in and signed access tokens on PostgreSQL"
    settings = UserServiceSettings
    gives: ClassVar[type[UserServiceHandoff]] = UserServiceHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("crud", ("CRUD operations", "CRUD", "user management"), "accounts: all they need", always=True),
        Feature("authentication", ("authentication", "sign-in", "login"), "passwords and signed tokens", always=True),
        Feature("documentation", ("API documentation", "OpenAPI"), "OpenAPI 3.1 at /openapi.json", always=True),
    )

    def render(self, step: StepInput[UserServiceSettings]) -> Mapping[str, bytes]:
        """The service's source, and the library that all services share."""
        return render_template(NAME, "chassis", context={"platform": step.platform, "settings": step.settings})

    def declare(self, step: StepInput[UserServiceSettings]) -> Declaration:
        """The service in copies, its database, NATS."""
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
        """Where accounts are, and who may administer them."""
        admin = Credential("admin", step.settings.admin_email, ADMIN_PASSWORD)
        return UserServiceHandoff(delivers=step.delivers, credentials=(admin,))

    def checks(self, step: StepInput[UserServiceSettings]) -> Collection[Check]:
        """The service documents itself; somebody registers, signs in, and sees their own account only."""
        return checks(step.settings.admin_email)
