"""The flags of `run` and `create`, a module for each group of them; some are other commands' too."""
