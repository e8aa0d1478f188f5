"""The node: pods as containers of a Docker engine, with probes that are asked, names that resolve, and logs."""
