"""The simulated payment provider: its own process, its own database, reached over HTTP like a real one."""
