"""`wherry network`."""
