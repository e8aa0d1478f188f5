"""Playbook security-service."""
