"""Plain questions to a database, answered by SQL that cannot harm it."""
