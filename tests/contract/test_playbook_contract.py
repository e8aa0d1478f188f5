"""Every installed playbook of the project holds to the contract that plugin authors are held to."""

from __future__ import annotations

from importlib.metadata import distribution
from typing import ClassVar

from stepflow import DISTRIBUTION
from stepflow.playbook import Playbook
from stepflow.registry import installed
from stepflow.testing import PlaybookContract

BUILT_IN = sorted(
    entry.name for entry in distribution(DISTRIBUTION).entry_points if entry.group == "stepflow.playbooks"
)


def test_all_nine_built_in_playbooks_are_installed() -> None:
    assert BUILT_IN == [
        "data-pipeline",
        "monitoring-observability",
        "notification-service",
        "orchestration",
        "order-service",
        "security-service",
        "service-discovery",
        "shell",
        "user-service",
    ]


class _BuiltIn(PlaybookContract):
    """The suite for one built-in playbook."""

    name: ClassVar[str]

    def playbook(self) -> Playbook:
        """Make a fresh one: the registry would give the same each time."""
        return type(installed().load(self.name))()


for _name in BUILT_IN:
    _class = f"Test{''.join(part.title() for part in _name.split('-'))}"
    globals()[_class] = type(_class, (_BuiltIn,), {"name": _name, "__module__": __name__})
