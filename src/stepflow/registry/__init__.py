"""Which playbooks are installed, and workflows resolved against them."""

from stepflow.registry.plugins import Plugin, Registry, installed
from stepflow.registry.resolution import Resolved, ResolvedStep, check, require, resolve

__all__ = ["Plugin", "Registry", "Resolved", "ResolvedStep", "check", "installed", "require", "resolve"]
