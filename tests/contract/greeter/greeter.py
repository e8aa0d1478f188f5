"""A playbook for tests: each step runs one copy of the smallest service, under the name that its settings give it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from stepflow.playbook import Playbook, Settings, StepInput
from stepflow.workload import Declaration, HttpProbe, Workload

HELLO = Path(__file__).parents[2] / "data" / "hello"


class GreeterSettings(Settings):
    """What the service is called, and what it says."""

    service: str
    says: str = ""


class Greeter(Playbook[GreeterSettings]):
    """One service that answers with its name."""

    name: ClassVar[str] = "greeter"
    summary: ClassVar[str] = "one service that answers with its name"
    settings = GreeterSettings

    def declare(self, step: StepInput[GreeterSettings]) -> Declaration:
        """Declare the service."""
        settings, probe = step.settings, HttpProbe("/", deadline=60)
        command = ("python", "-m", "service")
        return Declaration(
            (Workload(settings.service, command, probe, context=settings.service, env={"SAYS": settings.says}),)
        )

    def render(self, step: StepInput[GreeterSettings]) -> Mapping[str, bytes]:
        """Return the service's source."""
        files = (each for each in HELLO.rglob("*") if each.is_file() and each.suffix != ".pyc")
        return {f"{step.settings.service}/{each.relative_to(HELLO)}": each.read_bytes() for each in files}
