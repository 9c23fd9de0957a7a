"""Import an export in parts, each part in a transaction of its own."""
