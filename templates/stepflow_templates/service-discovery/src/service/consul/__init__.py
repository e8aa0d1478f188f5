"""The registry for Consul clients: Consul's HTTP API over the same entries that services write."""
