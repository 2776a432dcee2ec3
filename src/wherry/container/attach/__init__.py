"""A process's terminal, or its three streams, in front of the user."""
