"""What a user tells about the cluster, read and checked."""
