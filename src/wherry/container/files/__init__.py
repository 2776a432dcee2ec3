"""`cp`: files into containers and out of them, whatever the container does meanwhile."""
