"""stepflow: a Markdown playbook goes in, a running platform comes out."""

__version__ = "0.1.0"
