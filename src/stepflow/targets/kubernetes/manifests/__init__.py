"""From a declaration to Kubernetes objects: plain data built from the Workload model, no templated text, no SDK."""
