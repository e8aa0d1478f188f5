"""Access for people and checks: addresses, logs, a forwarded page."""
