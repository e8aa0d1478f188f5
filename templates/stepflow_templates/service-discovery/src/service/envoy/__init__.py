"""Envoy's configuration as a pure function of what runs (registry) and of the policy."""
