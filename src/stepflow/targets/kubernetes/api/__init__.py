"""Access to a cluster: its client, and forwarded ports of its pods."""
