"""PostgreSQL: the event store, the saga's queue, the read models."""
