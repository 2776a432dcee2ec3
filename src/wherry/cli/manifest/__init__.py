"""`wherry manifest`."""
