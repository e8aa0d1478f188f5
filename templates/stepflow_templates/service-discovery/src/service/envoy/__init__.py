"""Envoy's configuration as a pure function of what runs (registry) and what was asked for (policy)."""
