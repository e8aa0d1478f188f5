"""What runs inside a platform that compose started: the source of its one-shot service `setup`."""
