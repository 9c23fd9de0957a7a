"""Compare and merge histories."""
