"""The data pipeline: event streams into a DuckDB warehouse, SQL models over it, reports out of it."""
