"""stepflow: a Markdown playbook goes in, a running platform comes out."""

DISTRIBUTION = "stepflow-cli"
"""The name on the package index, where `stepflow` belongs to another project."""

__version__ = "0.1.0"
"""The version; the build reads it from here."""
