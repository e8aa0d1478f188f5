"""Images, and how they get into the nodes."""
