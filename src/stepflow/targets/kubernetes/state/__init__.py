"""The observed state of a platform in a cluster."""
