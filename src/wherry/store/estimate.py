"""How much the store takes, told without looking at every file: what was measured is remembered.

    cache/sizes     {"parts": {path: [stamp, bytes]}, "settled": bytes}

A part is a folder that changes by renames into it alone, so its time of change stands for its content. A file
that layers share counts for each by its number of names at the time; a walk through all corrects that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from wherry.store.cachefolders import CacheFolders
from wherry.store.store import Store
from wherry.store.usage import disk_usage, share_of

_WORTH_A_WALK = 1.05
"""Where nothing more can go, so much has to be added before it is tried again."""


class Estimate:
    """The size of images and build cache; for one process at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._path = store.path("cache", "sizes")
        self._parts: dict[str, list[int]] = {}
        self._settled = 0
        self._load()

    def exceeds(self, most: int) -> bool:
        """Whether it is worth while to look for what takes more than `most` bytes."""
        return self._total() > max(most, int(self._settled * _WORTH_A_WALK))

    def renew(self, left: int) -> None:
        """All was counted, and `left` bytes are what cannot go: measure the parts once more."""
        self._parts = {}
        self._settled = left
        self._total()

    def _total(self) -> int:
        parts = {path: self._measured(path, stamp) for path, stamp in self._stamps()}
        self._parts = parts
        self._save()
        with os.scandir(self._store.path("blobs", "sha256")) as blobs:
            total = sum(blob.stat().st_blocks * 512 for blob in blobs)
        total += sum(disk_usage(self._store.path(name)) for name in ("cache", "logs"))
        return total + sum(size for _, size in parts.values())

    def _measured(self, path: str, stamp: int) -> list[int]:
        known = self._parts.get(path)
        return known if known and known[0] == stamp else [stamp, share_of(self._store.path(path))]

    def _stamps(self) -> Iterator[tuple[str, int]]:
        for folder in ("layers", "builds"):
            try:
                with os.scandir(self._store.path(folder)) as items:
                    yield from ((f"{folder}/{item.name}", item.stat().st_mtime_ns) for item in items)
            except FileNotFoundError:
                pass
        for cache in CacheFolders(self._store).all():
            yield f"cache-mounts/{cache.name}", int(cache.used * 1e9)

    def _load(self) -> None:
        """A file that is damaged, or of another version, counts as none."""
        try:
            with open(self._path, encoding="ascii") as file:
                known = json.load(file)
            self._settled = int(known["settled"])
            self._parts = {path: [int(stamp), int(size)] for path, (stamp, size) in known["parts"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._settled, self._parts = 0, {}

    def _save(self) -> None:
        """A disk that is full must not fail a build over what can be found out again."""
        unfinished = f"{self._path}.{os.getpid()}"
        try:
            with open(unfinished, "w", encoding="ascii") as file:
                json.dump({"parts": self._parts, "settled": self._settled}, file)
            os.rename(unfinished, self._path)
        except OSError:
            if os.path.exists(unfinished):
                os.unlink(unfinished)
