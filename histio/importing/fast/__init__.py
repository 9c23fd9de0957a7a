"""The fast path of imports: from accepted records straight to values of the driver."""
