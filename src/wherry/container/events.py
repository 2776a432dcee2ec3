"""What happens to containers and their volumes, for `wherry events`; see store/events.py."""

from __future__ import annotations

from wherry.container.state import Folder, Spec
from wherry.store import events


def record(folder: Folder, spec: Spec, action: str, **details: str) -> None:
    """With what docker says of a container each time: its labels, its name and the image's."""
    about = {"image": spec.image_name, "name": spec.name}
    events.record(folder.root, "container", action, spec.id, {**dict(spec.labels), **about, **details})


def record_volumes(folder: Folder, spec: Spec, action: str) -> None:
    """`mount` or `unmount`, for each volume of the container."""
    for volume in spec.volumes:
        if volume.kind != "volume":
            continue
        about = {"container": spec.id, "driver": "local"}
        if action == "mount":
            writable = str(not volume.read_only).lower()
            about |= {"destination": volume.target, "propagation": "", "read/write": writable}
        events.record(folder.root, "volume", action, volume.source, about)
