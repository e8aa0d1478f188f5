"""The built-in playbooks: plugins like anybody's, found by their entry points."""
