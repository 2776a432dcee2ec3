"""`wherry cache`."""
