"""The order service: orders by event sourcing, CQRS and a saga."""
