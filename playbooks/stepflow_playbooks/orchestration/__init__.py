"""Collects every service of the platform and makes it ready for production: replicas, health, the Kubernetes bundle."""
