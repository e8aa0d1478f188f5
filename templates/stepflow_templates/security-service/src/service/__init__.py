"""OAuth2 for machine clients, rate limits for everybody, and a log of who got what."""
