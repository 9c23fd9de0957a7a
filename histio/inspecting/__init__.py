"""Look at files of history without importing them."""
