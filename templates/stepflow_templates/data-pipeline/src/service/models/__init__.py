"""The SQL models, `<schema>/<table>.sql`; `service.transform` documents their headers."""
