"""The registry, the control plane of the Envoy gateway, and the platform's front page."""
