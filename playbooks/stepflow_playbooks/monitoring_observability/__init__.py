"""Traces, metrics and logs of the whole platform: OTLP in, pages and an API out."""
