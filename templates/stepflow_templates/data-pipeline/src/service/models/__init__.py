"""The SQL models, `<schema>/<table>.sql`; what their headers mean is said in `service.transform`."""
