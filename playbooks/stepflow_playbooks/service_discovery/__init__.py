"""Playbook service-discovery."""
