"""The database: what must outlive the process, in SQLite or PostgreSQL, through one set of tables."""
