"""The Kubernetes target: the platform's objects in a namespace of a cluster."""
