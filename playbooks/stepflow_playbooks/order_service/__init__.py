"""The order-service playbook."""
