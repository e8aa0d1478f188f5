"""Accounts, sign-in and access tokens."""
