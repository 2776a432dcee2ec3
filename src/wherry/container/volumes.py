"""Volumes: folders that outlive containers, `volumes/<name>/_data` in the store.

volumes/<name>/_data        what containers see
volumes/<name>/volume.json  a `Record`; a volume that an older version made has none
volumes/<name>/lock         flock: held while a first use fills the volume
volumes/<name>/filling      there while a first use fills it: where that was killed, the next begins anew
volumes/<name>/filled       there once the first use is over: the image's content is never copied again

Volumes are made and deleted under the lock of the folder `volumes`. A container is entered before its volumes
are made, and one that a container names is not deleted: so none is deleted that a container has mounted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from wherry.base import removal, values
from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.base.locks import locked
from wherry.base.paths import Root
from wherry.base.tuples import NamedTuple
from wherry.container import trees
from wherry.container.containers import Containers
from wherry.container.names import NAME
from wherry.container.options import mounting
from wherry.container.options.mounting import Volume
from wherry.layer.duplicate import copy_into
from wherry.store import events

_ANONYMOUS = re.compile("[0-9a-f]{64}")
_ANONYMOUS_LABEL = ("com.docker.volume.anonymous", "")
"""Docker's label of volumes whose name nobody chose."""
_DRIVER = {"driver": "local"}


class Record(NamedTuple):
    """`created`: unix seconds."""

    created: float
    labels: tuple[tuple[str, str], ...] = ()


class Kept(NamedTuple):
    """A volume as it is: `path` is that of its content."""

    name: str
    path: str
    created: float
    labels: tuple[tuple[str, str], ...]

    @property
    def is_anonymous(self) -> bool:
        return _ANONYMOUS_LABEL in self.labels


def create(root: str, name: str = "", labels: Iterable[tuple[str, str]] = ()) -> str:
    """Make a volume, an anonymous one where it has no name; its name. One that is there stays as it is."""
    made = name or os.urandom(32).hex()
    _make(root, made, (*labels, *(() if name else (_ANONYMOUS_LABEL,))))
    return made


def provide(root: str, volume: Volume) -> str:
    """The host folder (or file) behind a mount, made where it is missing, as docker does for -v."""
    if volume.kind == "volume":
        labels = (*volume.labels, *((_ANONYMOUS_LABEL,) if volume.anonymous else ()))
        _make(root, volume.source, labels)
        return _data(root, volume.source)
    mounting.check_source(volume)
    try:
        if not os.path.lexists(volume.source):
            os.makedirs(volume.source, exist_ok=True)
    except OSError as error:
        raise WherryError(
            f"cannot create {volume.source}, to be mounted on {volume.target}: {error.strerror}"
        ) from None
    return volume.source


def provide_all(root: str, mounts: Iterable[Volume]) -> None:
    for volume in mounts:
        if volume.kind != "tmpfs":
            provide(root, volume)


def is_folder(root: str, volume: Volume) -> bool:
    """Whether what is mounted is a folder; where it is not there any more, it is taken for one."""
    if volume.kind == "tmpfs":
        return True
    path = volume.source if volume.kind == "bind" else _data(root, volume.source)
    if not volume.subpath:
        return os.path.isdir(path) or not os.path.lexists(path)
    try:
        with Root(path, follow=True) as inside:
            return stat.S_ISDIR(inside.stat(volume.subpath).st_mode)
    except OSError:
        return True


def needs_content(root: str, volume: Volume) -> bool:
    """Whether `fill` has anything to do."""
    is_first = not os.path.exists(f"{folder(root, volume.source)}/filled")
    return volume.kind == "volume" and volume.copy and is_first


def fill(root: str, volume: Volume, image_folder: int) -> None:
    """First use: an empty volume gets what is in `image_folder` (a descriptor), its owner and mode too."""
    with _filling(root, volume.source) as own:
        if os.path.exists(f"{own}/filled"):
            return
        try:
            if os.path.exists(f"{own}/filling"):
                _empty(f"{own}/_data")
            if not os.listdir(f"{own}/_data"):
                _touch(f"{own}/filling")
                _copy(image_folder, f"{own}/_data")
            _touch(f"{own}/filled")
        except OSError as error:
            raise WherryError(f"cannot fill the volume {volume.source}: {error.strerror}") from None
        with suppress(FileNotFoundError):
            os.unlink(f"{own}/filling")


def _copy(image_folder: int, path: str) -> None:
    target = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy_into(image_folder, target)
    finally:
        os.close(target)


def _empty(path: str) -> None:
    for name in os.listdir(path):
        removal.remove(f"{path}/{name}")


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def all_of(root: str) -> list[Kept]:
    """Sorted by name."""
    return [kept for name in sorted(names(root)) if (kept := _kept(root, name))]


def names(root: str) -> list[str]:
    try:
        return [name for name in os.listdir(_all(root)) if NAME.fullmatch(name)]
    except FileNotFoundError:
        return []


def find(root: str, name: str) -> Kept:
    """NotFound where there is none."""
    kept = _kept(root, name) if NAME.fullmatch(name) else None
    if kept is None:
        raise NotFound(f"no such volume: {name}", hint="`wherry volume ls` lists the ones that are here")
    return kept


def users(root: str) -> dict[str, list[str]]:
    """The names of the containers, running or not, that have each volume."""
    found: dict[str, list[str]] = {}
    for spec in Containers(root).specs():
        for name in mounting.names(spec.volumes):
            found.setdefault(name, []).append(spec.name)
    return found


def remove(root: str, name: str) -> None:
    """NotFound where there is none, WherryError where a container has it."""
    find(root, name)
    if not remove_unused(root, name):
        holders = users(root).get(name, [])
        raise WherryError(
            f"the volume {name} is in use by {', '.join(holders) or 'a container'}",
            hint="remove the container first: `wherry rm`",
        )


def folder(root: str, name: str) -> str:
    """All that there is of a volume."""
    return f"{root}/volumes/{name}"


def remove_anonymous(root: str, mounts: Iterable[Volume]) -> None:
    """Delete those of a container that is gone, but for what another container has (`--volumes-from`).

    Where it cannot be told what another one has, since its files are damaged, they stay.
    """
    with suppress(Corrupt):
        for volume in mounts:
            if volume.anonymous:
                remove_unused(root, volume.source)


def remove_unused(root: str, name: str) -> bool:
    """Delete it: whether it is gone; False where a container has it."""
    path = folder(root, name)
    doomed = f"{root}/tmp/volume-{os.getpid()}-{os.urandom(6).hex()}"
    with locked(_all(root)):
        if name in users(root):
            return False
        try:
            os.rename(path, doomed)
        except FileNotFoundError:
            return True
        except OSError:
            doomed = path  # `volumes` lies on a disk of its own
            trees.remove(path)
    if doomed != path:
        trees.remove(doomed)
    events.record(root, "volume", "destroy", name, _DRIVER)
    return True


def _make(root: str, name: str, labels: tuple[tuple[str, str], ...]) -> None:
    own = folder(root, name)
    try:
        os.makedirs(_all(root), exist_ok=True)
        with locked(_all(root)):
            if os.path.isdir(f"{own}/_data"):
                return
            os.makedirs(f"{own}/_data")
            os.chmod(f"{own}/_data", 0o755)
            with open(f"{own}/volume.json", "w", encoding="ascii") as file:
                json.dump(values.encode(Record(time.time(), labels)), file)
        events.record(root, "volume", "create", name, _DRIVER)
    except OSError as error:
        raise WherryError(f"cannot make the volume {name}: {error.strerror}") from None


def _kept(root: str, name: str) -> Kept | None:
    try:
        record = _record(folder(root, name))
    except FileNotFoundError:
        return None
    return Kept(name, _data(root, name), record.created, record.labels)


def _record(path: str) -> Record:
    try:
        with open(f"{path}/volume.json", encoding="ascii") as file:
            return values.decode(Record, json.load(file))
    except (FileNotFoundError, ValueError, Corrupt):
        name = os.path.basename(path)
        labels = (_ANONYMOUS_LABEL,) if _ANONYMOUS.fullmatch(name) else ()
        return Record(os.stat(f"{path}/_data").st_mtime, labels)


def _all(root: str) -> str:
    return f"{root}/volumes"


def _data(root: str, name: str) -> str:
    return f"{root}/volumes/{name}/_data"


@contextmanager
def _filling(root: str, name: str) -> Iterator[str]:
    own = folder(root, name)
    descriptor = os.open(f"{own}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield own
    finally:
        os.close(descriptor)
