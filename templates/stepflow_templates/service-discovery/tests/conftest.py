"""Fixtures: real servers, and one stage for all tests of a module."""

pytest_plugins = ["chassis.testing", "stage"]
