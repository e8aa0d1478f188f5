"""Telemetry of the whole platform: taken in by OTLP/HTTP, kept in SQLite, shown as traces, metrics, logs and a map."""
