"""What people and checks reach: addresses, logs, a forwarded page."""
