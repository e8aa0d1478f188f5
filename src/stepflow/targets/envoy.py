"""Envoy as every container of it is started: one worker, no successor that takes over, warnings only."""

ARGUMENTS = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning")
"""Follow the command that a workload declares."""
