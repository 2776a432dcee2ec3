"""The processes of containers, seen from outside: `top` and `stats`."""
