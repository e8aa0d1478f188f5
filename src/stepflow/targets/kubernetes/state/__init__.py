"""What there is of a platform in a cluster, and how it does."""
