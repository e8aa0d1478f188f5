"""Images that stand in for the official ones: the same names and contracts, the real servers inside."""
