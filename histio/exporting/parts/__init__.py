"""Export the runs of a history in parts, by several processes."""
