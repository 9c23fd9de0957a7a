"""Change stored runs into what a document says."""
