"""`wherry volume`."""
