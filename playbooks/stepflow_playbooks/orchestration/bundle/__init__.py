"""The Kubernetes bundle of a platform: plain objects built from the Workload model, no templated text."""
