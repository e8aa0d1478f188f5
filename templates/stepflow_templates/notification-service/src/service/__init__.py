"""The notification service: templates, a persisted delivery queue, providers, reactions to events."""
