"""Volumes: folders that outlive containers, `volumes/<name>/_data` in the store.

volumes/<name>/_data     what containers see
volumes/<name>/lock      flock: held while a first use fills the volume
volumes/<name>/filled    there once the first use is over: the image's content is never copied again
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wherry.base.errors import WherryError
from wherry.container import trees
from wherry.container.mounting import Volume
from wherry.layer.duplicate import copy_into
from wherry.store import events


def resolve(wanted: Sequence[Volume], declared: Sequence[str]) -> tuple[Volume, ...]:
    """The user's mounts and an anonymous volume for each VOLUME of the image that none of them covers.

    Parents come before what is mounted below them. Anonymous volumes get their names (64 hex digits) here.
    """
    taken = {volume.target for volume in wanted}
    paths = dict.fromkeys("/" + os.path.normpath(path).strip("/") for path in declared)
    added = [Volume("volume", "", path, anonymous=True) for path in paths if path not in {*taken, "/"}]
    named = [
        volume._replace(source=os.urandom(32).hex()) if volume.anonymous else volume
        for volume in (*wanted, *added)
    ]
    return tuple(sorted(named, key=lambda volume: volume.target.count("/")))


def provide(root: str, volume: Volume) -> str:
    """The host folder (or file) behind a mount, made where it is missing, as docker does for -v."""
    path = place(root, volume)
    try:
        if not os.path.lexists(path):
            os.makedirs(path, exist_ok=True)
            if volume.kind == "volume":
                events.record(root, "volume", "create", volume.source, {"driver": "local"})
    except OSError as error:
        raise WherryError(
            f"cannot create {path}, to be mounted on {volume.target}: {error.strerror}"
        ) from None
    return path


def place(root: str, volume: Volume) -> str:
    """As `provide`, whether it is there or not."""
    return volume.source if volume.kind == "bind" else f"{root}/volumes/{volume.source}/_data"


def fill(root: str, volume: Volume, image_folder: int) -> None:
    """First use: an empty volume gets what is in `image_folder` (a descriptor), its owner and mode too."""
    with _locked(root, volume.source) as folder:
        if os.path.exists(f"{folder}/filled"):
            return
        target = os.open(f"{folder}/_data", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not os.listdir(target):
                copy_into(image_folder, target)
        except OSError as error:
            raise WherryError(f"cannot fill the volume {volume.source}: {error.strerror}") from None
        finally:
            os.close(target)
        os.close(os.open(f"{folder}/filled", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def remove(root: str, name: str) -> None:
    trees.remove(f"{root}/volumes/{name}")
    events.record(root, "volume", "destroy", name, {"driver": "local"})


@contextmanager
def _locked(root: str, name: str) -> Iterator[str]:
    folder = f"{root}/volumes/{name}"
    descriptor = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)
