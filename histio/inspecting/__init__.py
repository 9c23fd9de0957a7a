"""Check and inspect files and databases without writing anything."""
