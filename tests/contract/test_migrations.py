"""Every workload with a database of its own says how that is migrated, with a command that its source has."""

from __future__ import annotations

from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest

from stepflow import DISTRIBUTION
from stepflow.handoff import ServerFile
from stepflow.playbook import Playbook
from stepflow.registry import installed
from stepflow.testing import PlaybookContract
from stepflow.workload import Workload

TEMPLATES = Path(str(files("stepflow_templates")))
BUILT_IN = sorted(
    entry.name for entry in distribution(DISTRIBUTION).entry_points if entry.group == "stepflow.playbooks"
)


class _Installed(PlaybookContract):
    def __init__(self, name: str) -> None:
        self._name = name

    def playbook(self) -> Playbook:
        return installed().load(self._name)


def _declared() -> dict[str, Workload]:
    contracts = [_Installed(name) for name in BUILT_IN if name != "orchestration"]
    declarations = [contract.playbook().declare(contract.step()) for contract in contracts]
    return {workload.name: workload for made in declarations for workload in made.workloads}


def _has_database(workload: Workload) -> bool:
    return any(isinstance(value, ServerFile) and value.kind == "postgres" for value in workload.env.values())


def test_exactly_the_workloads_with_a_database_migrate_one() -> None:
    found = {name for name, workload in _declared().items() if workload.migrate}
    assert found == {name for name, workload in _declared().items() if _has_database(workload)}
    assert found == {"notification-service", "order-service", "payment-provider", "security-service", "user-service"}


@pytest.mark.parametrize("name", sorted(name for name, workload in _declared().items() if workload.migrate))
def test_the_migrations_that_the_command_names_are_those_that_the_service_applies(name: str) -> None:
    workload = _declared()[name]
    package = str(workload.migrate[-1])
    assert workload.migrate == ("python", "-m", "chassis.migrate", package)
    assert workload.command == ("python", "-m", package)
    folder = TEMPLATES / workload.context / "src" / Path(*package.split("."))
    assert list((folder / "migrations").glob("*.sql"))
    used = [file for file in folder.glob("*.py") if ".database(" in file.read_text("utf-8")]
    assert len(used) == 1
    assert 'Path(__file__).parent / "migrations"' in used[0].read_text("utf-8")
