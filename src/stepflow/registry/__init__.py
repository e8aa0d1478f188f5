"""Which playbooks are installed, and workflows resolved against them."""

from stepflow.registry.plugins import Plugin, Registry, installed
from stepflow.registry.resolution import ResolvedWorkflow, check, require, resolve
from stepflow.registry.wiring import ResolvedStep

__all__ = ["Plugin", "Registry", "ResolvedStep", "ResolvedWorkflow", "check", "installed", "require", "resolve"]
