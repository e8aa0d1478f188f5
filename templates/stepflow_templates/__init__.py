"""The services that the playbooks render; each folder is one that runs, lints and tests as it lies there."""
