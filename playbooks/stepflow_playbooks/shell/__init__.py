"""The `shell` playbook: a step whose prompt is a command."""
