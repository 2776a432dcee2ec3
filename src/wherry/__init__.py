"""wherry: container images from Dockerfiles, with no daemon, no root and no set-up."""

__version__ = "0.1.0"
