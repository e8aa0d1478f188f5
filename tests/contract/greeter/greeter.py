"""A playbook for tests: each step runs one copy of the smallest service, under the name that its settings give it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from stepflow.playbook import Playbook, Settings, StepInput
from stepflow.workload import Declaration, HttpProbe, Workload

SOURCE = Path(__file__).parents[2] / "data" / "recorded" / "greetings" / "source"


class GreeterSettings(Settings):
    """What the service is called, what it says, and a note beside its source (which version 0.1.0 did not have)."""

    service: str
    says: str = ""
    note: str = ""


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
        files = (each for each in SOURCE.rglob("*") if each.is_file() and each.suffix != ".pyc")
        found = {f"{step.settings.service}/{each.relative_to(SOURCE)}": each.read_bytes() for each in files}
        note = {f"{step.settings.service}/NOTE": step.settings.note.encode()} if step.settings.note else {}
        return {**found, **note}
