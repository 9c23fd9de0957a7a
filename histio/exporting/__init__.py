"""Read runs from a database in order, and turn them into records."""
