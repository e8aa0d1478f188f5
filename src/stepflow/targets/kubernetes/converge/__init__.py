"""From the desired state to the running one: compare, execute, wait, remove."""
