"""What is kept of builds, so that their steps can be entered and explained later (`wherry debug`, `explain`).

    builds/<id>/             id: 12 hex digits
      build.json             the envelope below, with the build's own document in it
      account.json           how its steps went the last time; replaced by a rename whenever it is built again
      upper/                 what a process that failed had changed, in overlay's form; or
      root/                  the root filesystem that it left, where that was a copy; both may be missing

A folder is renamed into place when it is whole. Whoever is in it holds a lock (flock) on it: shared to use
it, exclusive to change or to delete it. Only so many are kept; the layers that a failed build's state stands
on are kept with it (gc.py), those of other builds are not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest
from wherry.store.store import Store
from wherry.store.usage import disk_usage

_DOCUMENT = "build.json"
_ACCOUNT = "account.json"
_PREFIX = "0123456789abcdef"
_LEAST_FREE = 64 << 20
"""Bytes, on a disk of which they are not more than a hundredth part."""

MOST_FAILED = 10
MOST_SUCCEEDED = 20
MOST_BYTES = 4 << 30
"""On disk, of all that failed processes left; the newest stays whatever its size."""


class Kept(NamedTuple):
    """`created` is unix seconds; `layers` are those that the state of a failed step stands on; `size` is the
    bytes on disk of what its process left; `document` is whatever the build says of itself, and `account` how
    it went the last time; empty where that is not known."""

    id: str
    created: float
    failed: bool
    layers: tuple[Digest, ...]
    size: int
    document: dict[str, Any]
    account: dict[str, Any]


class Builds:
    """The builds that a store keeps. Who uses one holds the store's lease, or is alone in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = store.path("builds")

    def keep_succeeded(self, document: dict[str, Any], account: dict[str, Any]) -> str:
        """Keep the plan of a build that succeeded, and its account; its ID. The same build again is the same
        entry, young again."""
        text = json.dumps(document, sort_keys=True)
        name = hashlib.sha256(text.encode("ascii")).hexdigest()[:12]
        try:
            self._tell(name, account)
        except FileNotFoundError:
            self._write(Kept(name, time.time(), False, (), 0, document, account), "")
            if len(self._names()) > 2 * (MOST_FAILED + MOST_SUCCEEDED):
                self._trim()  # now and then: it reads every entry
        return name

    def keep_failed(
        self, document: dict[str, Any], account: dict[str, Any], layers: tuple[Digest, ...], left: str = ""
    ) -> str:
        """Keep a build with the state of the step that failed; its ID. `left` is taken over by a rename: the
        folder `upper` or `root`.

        OSError or WherryError where the disk does not take it. A state that fills the disk is not kept: it
        is in the way of all that comes next.
        """
        disk = os.statvfs(self._store.root)
        if disk.f_bavail * disk.f_frsize < min(_LEAST_FREE, disk.f_blocks * disk.f_frsize // 100):
            raise WherryError("the disk is full")
        size = disk_usage(left) if left else 0
        kept = Kept(os.urandom(6).hex(), time.time(), True, layers, size, document, account)
        self._write(kept, left)
        self._trim()
        return kept.id

    def all(self) -> list[Kept]:
        """The newest first. A folder that a power failure has spoilt is passed over."""
        return sorted(self._each(self._names()), key=lambda kept: kept.created, reverse=True)

    def newest(self) -> Iterator[Kept]:
        """As `all`, each read when it is asked for: whoever wants the last one reads one."""
        ages = []
        for name in self._names():
            try:
                ages.append((os.stat(f"{self._root}/{name}").st_mtime, name))
            except FileNotFoundError:
                continue
        return self._each(name for _, name in sorted(ages, reverse=True))

    def _each(self, names: Iterable[str]) -> Iterator[Kept]:
        for name in names:
            try:
                yield self._read(name)
            except (OSError, ValueError, KeyError, TypeError):
                continue

    def shortest(self, name: str) -> str:
        """The beginning of an ID, of four characters at least, that no other one has."""
        others = [other for other in self._names() if other != name]
        lengths = range(4, len(name))
        return next(
            (name[:n] for n in lengths if not any(other.startswith(name[:n]) for other in others)), name
        )

    def find(self, prefix: str) -> Kept:
        """The one whose ID begins so; NotFound where there is none, or more than one."""
        found = [kept for kept in self.all() if kept.id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFound(
                f"{prefix!r} begins several IDs: {', '.join(kept.id for kept in found)}",
                hint="write one more character",
            )
        raise NotFound(f"no such build: {prefix}", hint="`wherry debug --ls -a` lists those that are kept")

    @contextmanager
    def use(self, name: str, *, alone: bool = False) -> Iterator[str]:
        """The folder of a build while the context lasts. Busy where others are in it, and one is `alone`."""
        with self._locked(name, fcntl.LOCK_EX if alone else fcntl.LOCK_SH) as path:
            yield path

    def delete(self, name: str) -> int:
        """Delete it whole or not at all; the bytes that became free. Busy where somebody is in it."""
        from wherry.store.deleting import discard

        with self._locked(name, fcntl.LOCK_EX) as path:
            return discard(self._store, path)

    def resize(self, name: str) -> None:
        """Write down how much the state takes, after it has been changed."""
        kept = self._read(name)
        path = f"{self._root}/{name}"
        self._dump(kept._replace(size=disk_usage(path)), f"{path}/.{_DOCUMENT}")
        os.rename(f"{path}/.{_DOCUMENT}", f"{path}/{_DOCUMENT}")

    def _write(self, kept: Kept, left: str) -> None:
        os.makedirs(self._root, mode=0o711, exist_ok=True)
        with self._store.scratch("build") as scratch:
            self._dump(kept, f"{scratch}/{_DOCUMENT}")
            _write_json(kept.account, f"{scratch}/{_ACCOUNT}")
            if left:
                os.rename(left, f"{scratch}/{os.path.basename(left)}")
            try:
                os.rename(scratch, f"{self._root}/{kept.id}")
            except OSError:
                # Another process has just kept the same build: its entry says the same.
                if kept.failed or not os.path.isdir(f"{self._root}/{kept.id}"):
                    raise

    @staticmethod
    def _dump(kept: Kept, path: str) -> None:
        envelope = kept._asdict()
        del envelope["account"]
        _write_json(envelope, path)

    def _read(self, name: str) -> Kept:
        path = f"{self._root}/{name}/{_DOCUMENT}"
        with open(path, encoding="ascii") as file:
            kept = Kept(**json.load(file), account={})
        # A build that is made again is as young as its last time.
        created = kept.created if kept.failed else os.stat(f"{self._root}/{name}").st_mtime
        layers = tuple(map(Digest, kept.layers))
        return kept._replace(id=name, created=created, layers=layers, account=self._account(name))

    def _account(self, name: str) -> dict[str, Any]:
        """Nothing of a build that an earlier version kept, or where a power failure took it."""
        try:
            with open(f"{self._root}/{name}/{_ACCOUNT}", encoding="ascii") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _tell(self, name: str, account: dict[str, Any]) -> None:
        """Replace an account. FileNotFoundError where there is no such build."""
        unfinished = self._store.path("tmp", f"account-{os.getpid()}-{os.urandom(4).hex()}")
        _write_json(account, unfinished)
        try:
            os.rename(unfinished, f"{self._root}/{name}/{_ACCOUNT}")
        except OSError:
            os.unlink(unfinished)
            raise

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._root) if len(name) == 12 and set(name) <= set(_PREFIX)]
        except FileNotFoundError:
            return []

    def _trim(self) -> None:
        """Delete what is too much, the oldest first; what is in use stays for now."""
        kept = self.all()
        doomed = [item for item in kept if not item.failed][MOST_SUCCEEDED:]
        total = 0
        for count, item in enumerate(item for item in kept if item.failed):
            total += item.size
            if count >= MOST_FAILED or (count and total > MOST_BYTES):
                doomed.append(item)
        for item in doomed:
            try:
                self.delete(item.id)
            except (WherryError, OSError):
                continue

    @contextmanager
    def _locked(self, name: str, kind: int) -> Iterator[str]:
        path = f"{self._root}/{name}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"the build {name} has just been removed") from None
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(name) from None
            yield path
        finally:
            os.close(descriptor)


def _write_json(value: Any, path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(json.dumps(value))


class Busy(WherryError):
    """Somebody is in it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"somebody is in the failed step {name}: another `wherry debug` has it open",
            hint="leave that shell first",
        )
