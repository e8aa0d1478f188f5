"""OAuth2 for machine clients, rate limits for all callers, and an audit log."""
