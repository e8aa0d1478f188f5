"""What the user says about the cluster, read and checked."""
