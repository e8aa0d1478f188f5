"""Images: building, pushing, loading into nodes."""
