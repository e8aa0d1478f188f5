"""A Kubernetes cluster of one node for tests: an API whose answers were recorded, and pods that are real containers."""
