"""PostgreSQL, files and durable work."""
