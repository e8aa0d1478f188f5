"""The smallest service that tests of a target can run."""
