"""The node: it runs pods as containers of the tests' Docker engine."""
