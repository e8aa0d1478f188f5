"""The way to a cluster: its client, and ports that lead to its pods."""
