"""Playbook notification-service."""
