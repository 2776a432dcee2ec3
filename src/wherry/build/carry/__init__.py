"""The cache on other machines: `--cache-to` and `--cache-from`."""
