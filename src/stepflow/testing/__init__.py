"""For authors of playbooks and targets: the contract suite that every playbook passes, and a target in memory."""

from stepflow.testing.contract import PlaybookContract
from stepflow.testing.examples import example_of
from stepflow.testing.target import FakeLive, FakeTarget

__all__ = ["FakeLive", "FakeTarget", "PlaybookContract", "example_of"]
