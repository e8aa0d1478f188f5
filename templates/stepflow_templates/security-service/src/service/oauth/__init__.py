"""OAuth 2.0 for confidential clients: RFC 6749 (client credentials), 7009, 7662, 8414, 9068."""
