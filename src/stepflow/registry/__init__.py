"""Which playbooks are installed, and workflows resolved against them."""

from stepflow.registry.checking import check, require
from stepflow.registry.plugins import Plugin, Registry, installed
from stepflow.registry.resolution import ResolvedWorkflow, resolve
from stepflow.registry.wiring import ResolvedStep

__all__ = ["Plugin", "Registry", "ResolvedStep", "ResolvedWorkflow", "check", "installed", "require", "resolve"]
