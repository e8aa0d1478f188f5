"""The services that the playbooks render; each folder runs, lints and tests unrendered."""
