"""How events are shown: a live view on a terminal, lines of text elsewhere, NDJSON for programs."""
