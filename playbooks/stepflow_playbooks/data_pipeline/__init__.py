"""Playbook data-pipeline."""
