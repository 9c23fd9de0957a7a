"""Check records, and write them to a database as rows."""
