"""Fixtures of all tests: real servers from `chassis.testing`, and this service's own."""

pytest_plugins = ["chassis.testing", "order_fixtures"]
