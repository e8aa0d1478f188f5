"""The bundle of the reference platform: everything that the built-in playbooks declare."""

from __future__ import annotations

from importlib.metadata import distribution

from stepflow import DISTRIBUTION
from stepflow.playbook import Playbook
from stepflow.registry import installed
from stepflow.targets.kubernetes.bundle import Bundle, Scale, merged
from stepflow.testing import PlaybookContract
from stepflow.workload import Declaration

BUILT_IN = sorted(
    entry.name for entry in distribution(DISTRIBUTION).entry_points if entry.group == "stepflow.playbooks"
)
DIGEST = "sha256:" + "0123456789abcdef" * 4


class _Installed(PlaybookContract):
    def __init__(self, name: str) -> None:
        self._name = name

    def playbook(self) -> Playbook:
        return installed().load(self._name)


def declarations() -> list[Declaration]:
    contracts = [_Installed(name) for name in BUILT_IN if name != "orchestration"]
    return [contract.playbook().declare(contract.step()) for contract in contracts]


def reference(*, automatic: bool = True, at_least: int = 3) -> Bundle:
    workloads, servers = merged(declarations())
    return Bundle(
        name="Shop",
        namespace="shop",
        registry="registry.example.org/team",
        image_tag="1.2.3",
        workloads=workloads,
        servers=servers,
        scale=Scale(at_least, 10, 70, automatic),
    )
