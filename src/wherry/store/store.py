"""The store: everything that outlives a command, in one folder.

    $WHERRY_ROOT | /var/lib/wherry (root) | $XDG_DATA_HOME/wherry
      store.db                    images, indexes, names, layers, records, traces (SQLite, WAL): database.py
      reserve                     room for prune on a full disk; see reserve.py
      lock                        shared while a command adds or uses content, exclusive while prune deletes
      blobs/sha256/<hex>          configs, manifests, compressed layers: immutable, named by their digest
      blobs/partial/<hex>         the same on their way in, as far as they came; see partials.py
      layers/<hex of diff ID>/    one layer: `index`, and `tar` (stream) or trees (`fs/` ..., layer/forms.py)
      tmp/<kind>-<pid>-<random>/  unfinished work; its maker holds a lock on it, unheld things are swept
      cache-mounts/               what RUN --mount=type=cache keeps; see cachefolders.py
      cache/                      digests of contexts' files, repositories, files from URLs, sizes of layers
                                  (estimate.py); may be deleted
      blueprints/                 what images were built from; see blueprints.py
      builds/<id>/                a build, and the state of its step that failed; see builds.py
      lists/<hex>.json            lists of images that `manifest create` made; see transfer/lists.py
      events/                     what happened; see events.py
      logs/                       whole output of the steps that failed
      containers/<id>/            one container each; see container/state.py
      volumes/<name>/_data        named volumes

Any number of processes use it at once. What is to stay is written below `tmp/` and renamed into place,
then named in a table: a kill at any instant loses no finished work and leaves nothing half-written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from wherry.base import removal
from wherry.base.errors import WherryError
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.blobs import Blobs
from wherry.store.database import Database
from wherry.store.images import Images
from wherry.store.layers import LayerTable
from wherry.store.lent import bring_home
from wherry.store.records import Records
from wherry.store.traces import Traces

if TYPE_CHECKING:
    from wherry.store.indexes import Indexes
    from wherry.store.partials import Partials

_FOLDERS = ("blobs/sha256", "layers", "tmp", "cache", "logs", "containers", "volumes")
_PRIVATE = 0o700
"""Nobody else may reach what is in the store: images have programs with the set-user-ID bit, and root's
store has them as root's own (CVE-2021-41091)."""


def default_root() -> str:
    """Where the store lies when nobody says otherwise."""
    if root := os.environ.get("WHERRY_ROOT"):
        return os.path.abspath(root)
    if os.geteuid() == 0:
        return "/var/lib/wherry"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{data}/wherry"


class Store:
    """An open store: `blobs`, `partials`, `images`, `indexes`, `layers`, `records`, `traces`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._database = Database(f"{root}/store.db")
        self.blobs = Blobs(f"{root}/blobs/sha256", f"{root}/tmp")
        self.images = Images(self._database, self.blobs, root)
        self.layers = LayerTable(root, self._database)
        self.records = Records(self._database)
        self.traces = Traces(self._database)

    @property
    def indexes(self) -> Indexes:
        from wherry.store.indexes import Indexes

        return Indexes(self._database)

    @classmethod
    def open(cls, root: str | None = None) -> Store:
        """The store at `root`, made when it is not there yet."""
        root = root or default_root()
        try:
            if not _is_private(f"{root}/{_FOLDERS[-1]}"):
                _create(root)
        except OSError as error:
            raise WherryError(
                f"cannot use the store {root}: {error.strerror}",
                hint="set WHERRY_ROOT to a folder that you may write to",
            ) from None
        return cls(root)

    def path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    @property
    def partials(self) -> Partials:
        from wherry.store.partials import Partials

        return Partials(f"{self.root}/blobs/partial", self.blobs)

    def blueprint(self, image: Digest) -> str:
        """The file that says what an image was built from, if that is known; see blueprints.py."""
        return self.path("blueprints", f"{digests.hex_of(image)}.json")

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Hold off `prune`: what is looked up, added or used within stays. Any number may hold it at once."""
        descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self, wait: bool = True) -> Iterator[None]:
        """Alone in the store, for deleting; BlockingIOError where others are in it and `wait` is False."""
        descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        return os.open(f"{self.root}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def scratch(self, kind: str) -> Iterator[str]:
        """A fresh folder on the store's file system, deleted at the end unless it was renamed away.

        Its lock tells `sweep` that its maker lives. The lock is on the folder itself, so it goes with it.
        """
        try:
            path, descriptor = self._locked_folder(kind)
        except OSError as error:
            raise WherryError(f"cannot write to the store {self.root}: {error.strerror}") from None
        try:
            yield path
        finally:
            remove_tree(path)
            os.close(descriptor)

    def _locked_folder(self, kind: str) -> tuple[str, int]:
        """A new folder below tmp/ and the descriptor that locks it."""
        while True:
            path = f"{self.root}/tmp/{kind}-{os.getpid()}-{os.urandom(6).hex()}"
            os.mkdir(path, 0o700)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.isdir(path):
                return path, descriptor
            # Somebody swept it in the moment between its making and its locking.
            os.close(descriptor)

    def sweep(self) -> int:
        """Delete unfinished work whose maker is gone; the number of things deleted."""
        swept = 0
        for name in os.listdir(f"{self.root}/tmp"):
            swept += _sweep_one(f"{self.root}/tmp/{name}")
        return swept

    def compact(self) -> int:
        """Give back to the disk what deleted rows have left of room in the tables; its bytes."""
        return self._database.compact()

    def room_of_cache(self) -> int:
        """About how many bytes the tables would take less without the build cache."""
        return self._database.room_of(("records", "traces", "trace_parts", "layers", "layer_blobs"))

    def close(self) -> None:
        self.records.settle()
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_private(folder: str) -> bool:
    try:
        return not os.stat(folder).st_mode & 0o077
    except FileNotFoundError:
        return False


def _create(root: str) -> None:
    """Makes what is missing, and closes what is there: the root itself may be a folder that others read."""
    from wherry.store import reserve

    os.makedirs(root, mode=_PRIVATE, exist_ok=True)
    os.close(os.open(f"{root}/store.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for folder in _FOLDERS:
        os.makedirs(f"{root}/{folder}", exist_ok=True)
        os.chmod(f"{root}/{folder}", _PRIVATE)
    reserve.keep(root)


def _sweep_one(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        if not os.path.isdir(path):
            return _sweep_file(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        bring_home(path)
        remove_tree(path)
    except BlockingIOError:
        return 0
    finally:
        os.close(descriptor)
    return 1


def _sweep_file(path: str) -> int:
    """A blob's unfinished file is named after its writer's process."""
    pid = os.path.basename(path).split("-")[1:2]
    if pid and os.path.exists(f"/proc/{pid[0]}"):
        return 0
    os.unlink(path)
    return 1


def remove_tree(path: str) -> None:
    """Delete a folder with all below it, following no link; a folder that is not there is no error.

    What cannot be deleted stays, and is swept another time.
    """
    try:
        removal.remove(path)
    except OSError:
        pass
