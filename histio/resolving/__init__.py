"""Find the rows that keys name, a set of keys at a time."""
