"""The fast path of exports: from values of the driver straight to JSON text, column by column."""
