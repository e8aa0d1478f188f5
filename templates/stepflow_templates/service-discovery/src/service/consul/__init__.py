"""The registry for any client that speaks to Consul: its HTTP API over the same entries that services write."""
