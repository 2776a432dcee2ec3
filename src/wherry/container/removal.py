"""A container deleted for good, with what is its own alone."""

from __future__ import annotations

from wherry.container import volumes
from wherry.container.containers import Container, Containers


def remove(root: str, container: Container, with_volumes: bool) -> None:
    """Delete an ended container (whose lock is held), and its anonymous volumes when they are to go too."""
    Containers(root).delete(container)
    if with_volumes:
        volumes.remove_anonymous(root, container.spec.volumes)
