"""What every service of the platform shares; a service holds only its domain."""
