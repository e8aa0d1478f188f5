"""The user-service playbook."""
