"""Update stored runs from a document."""
