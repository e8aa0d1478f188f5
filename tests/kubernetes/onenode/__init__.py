"""A Kubernetes API server, controllers and one node for tests; README.md says what it promises."""
