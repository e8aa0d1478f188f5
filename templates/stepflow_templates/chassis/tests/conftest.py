"""Fixtures of all tests: real servers, from `chassis.testing`."""

pytest_plugins = ["chassis.testing"]
