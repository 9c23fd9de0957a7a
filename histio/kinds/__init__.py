"""What a kind of run is: its schema, its tables and columns, and its JSON Schema."""
