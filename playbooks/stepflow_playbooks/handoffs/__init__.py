"""What the playbooks hand off to each other: the only thing that they know of one another."""
