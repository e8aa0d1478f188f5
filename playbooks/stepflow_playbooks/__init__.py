"""The built-in playbooks: plugins like any other, found by their entry points."""
