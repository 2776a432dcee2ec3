"""Base images from a distribution's own packages, for when no registry can be reached."""
