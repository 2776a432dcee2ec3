"""What a step changed in a replica: taken out of it, as a folder of the kind that overlay leaves.

What may be a change is moved out, and `scan.py` is the judge of it, as for overlay: the same layer comes of
the same step. Only what is certain to be as it was stays: its signature is the same, and, where the file
system's times do not tell everything, its content too. What is removed is told beside the folder, in `Told`:
a store on overlay itself can hold no whiteouts.

Other than on overlay, writing to one name of a file of lower layers changes its other names, as on any file
system; then all of them are in the layer.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable

from wherry.base.tuples import NamedTuple
from wherry.layer.entry import DIRECTORY
from wherry.layer.folders import Folders
from wherry.snapshot import attributes
from wherry.snapshot.replica import Known, Replica
from wherry.snapshot.signature import birth, signature
from wherry.snapshot.told import Told

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def harvest(replica: Replica, upper: str, told: Told) -> None:
    """Move what the step changed into the folder `upper`, which is made, and tell in `told` what it removed.

    The replica then holds nothing but what it is known to. No process may be in it any more.
    """
    os.mkdir(upper, 0o700)
    with Folders(replica.path) as folders, Folders(upper) as uppers:
        _Harvest(replica, folders, uppers, told).run()


class _Visited(NamedTuple):
    """A folder, as the step left it."""

    status: os.stat_result
    known: Known | None
    """None for one that the step made."""


class _Harvest:
    def __init__(self, replica: Replica, folders: Folders, uppers: Folders, told: Told) -> None:
        self._replica = replica
        self._folders = folders
        self._uppers = uppers
        self._told = told
        self._names = _names_by_folder(replica.known)
        self._visited: dict[str, _Visited] = {}
        self._unchanged: dict[str, Known] = {}
        self._moved: list[str] = []
        self._files: dict[int, list[tuple[str, os.stat_result, Known | None]]] = {}
        """Those of several names, by inode."""

    def run(self) -> None:
        # All is looked at before anything is moved: that changes the times of folders.
        self._visit_all()
        for names in self._files.values():
            self._judge_file_of_several_names(names)
        for path in self._moved:
            self._move(path)
        self._give_faces(self._make_folders())
        self._remove_new_folders()
        self._replica.known = self._remaining()

    def _visit_all(self) -> None:
        top = self._replica.known[""]
        self._visited[""] = _Visited(os.fstat(self._folders.open("")), top)
        waiting: list[tuple[str, Known | None]] = [("", top)]
        while waiting:
            path, known = waiting.pop()
            prefix = f"{path}/" if path else ""
            gone = set(self._names.get(path, ())) if known else set()
            for name, status in _items(self._folders.open(path)):
                gone.discard(name)
                below = prefix + name
                before = self._replica.known.get(below) if known else None
                if stat.S_ISDIR(status.st_mode):
                    waiting.append((below, self._visit_folder(below, status, before)))
                else:
                    self._visit_file(below, status, before)
            for name in gone:
                self._tell_removed(prefix + name)

    def _visit_folder(self, path: str, status: os.stat_result, before: Known | None) -> Known | None:
        """What is known of the folder, if it still is the same one."""
        if before is not None and before.wanted.entry.kind == DIRECTORY:
            folder, name = self._folders.parent(path)
            if before.signature.inode != status.st_ino or before.birth != birth(folder, name):
                self._told.replaced.add(path)
                before = None
        else:
            before = None
        self._visited[path] = _Visited(status, before)
        return before

    def _visit_file(self, path: str, status: os.stat_result, before: Known | None) -> None:
        if _is_left_out(status):
            folder, name = self._folders.parent(path)
            os.unlink(name, dir_fd=folder)
            if before is not None:
                self._tell_removed(path)
        elif stat.S_ISREG(status.st_mode) and (status.st_nlink > 1 or _is_shared(before)):
            self._files.setdefault(status.st_ino, []).append((path, status, before))
        elif before is not None and self._is_as_it_was(path, status, before):
            self._unchanged[path] = before
        else:
            self._moved.append(path)

    def _tell_removed(self, path: str) -> None:
        """Nothing is hidden by a whiteout of what was the stub's."""
        if self._replica.known[path].wanted.layer:
            self._told.remove(path)

    def _is_as_it_was(self, path: str, status: os.stat_result, before: Known) -> bool:
        if signature(status) != before.signature:
            return False
        return (
            self._replica.trusts_times or not stat.S_ISREG(status.st_mode) or self._has_content(path, before)
        )

    def _judge_file_of_several_names(self, names: list[tuple[str, os.stat_result, Known | None]]) -> None:
        """As it was if all of its names were names of it, whether or not it has lost others.

        Making and removing a name sets the time of change, so that alone says nothing.
        """
        path, status, before = names[0]
        same = [
            known is not None and signature(one)._replace(changed=0) == known.signature._replace(changed=0)
            for _, one, known in names
        ]
        if before is not None and all(same):
            untouched = self._replica.trusts_times and signature(status) == before.signature
            if untouched or (self._has_attributes(path, before) and self._has_content(path, before)):
                for name, one, known in names:
                    assert known is not None
                    self._unchanged[name] = known._replace(signature=signature(one))
                return
        self._moved += [name for name, _, _ in names]

    def _has_attributes(self, path: str, before: Known) -> bool:
        folder, name = self._folders.parent(path)
        return _kept_attributes(f"/proc/self/fd/{folder}/{name}") == before.wanted.entry.xattrs

    def _has_content(self, path: str, before: Known) -> bool:
        folder, name = self._folders.parent(path)
        with open(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest() == before.wanted.entry.digest

    def _move(self, path: str) -> None:
        folder, name = self._folders.parent(path)
        target_folder, target = self._uppers.parent(path)
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=target_folder)
        place = f"/proc/self/fd/{target_folder}/{target}"
        for attribute in attributes.names(place):
            if attributes.is_of_overlay(attribute):
                os.removexattr(place, attribute, follow_symlinks=False)

    def _make_folders(self) -> set[str]:
        """In the upper folder: those that were made or changed, and those above what is moved there."""
        needed = {
            path
            for path, (status, known) in self._visited.items()
            if known is None or signature(status) != known.signature
        }
        above = {""}
        for path in (*needed, *self._moved):
            while path not in above:
                if path in self._visited:
                    above.add(path)
                path = path.rpartition("/")[0]
        for path in above:
            self._uppers.open(path)
        return above

    def _give_faces(self, made: Iterable[str]) -> None:
        for path in made:
            status, source, target = (
                self._visited[path].status,
                self._folders.open(path),
                self._uppers.open(path),
            )
            os.fchown(target, status.st_uid, status.st_gid)
            for name, value in _kept_attributes(source):
                os.setxattr(target, name, value)
            os.fchmod(target, stat.S_IMODE(status.st_mode))
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _remove_new_folders(self) -> None:
        for path, visited in reversed(self._visited.items()):
            if visited.known is None:
                folder, name = self._folders.parent(path)
                os.rmdir(name, dir_fd=folder)

    def _remaining(self) -> dict[str, Known]:
        """What is still known, parents first as before."""
        remaining = {}
        for path, known in self._replica.known.items():
            visited = self._visited.get(path)
            if path in self._unchanged:
                remaining[path] = self._unchanged[path]
            elif visited is not None and visited.known is not None:
                remaining[path] = known
        return remaining


def _names_by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path in paths:
        if path:
            folder, _, name = path.rpartition("/")
            names.setdefault(folder, []).append(name)
    return names


def _items(folder: int) -> list[tuple[str, os.stat_result]]:
    with os.scandir(folder) as found:
        return [(item.name, item.stat(follow_symlinks=False)) for item in found]


def _is_left_out(status: os.stat_result) -> bool:
    """Sockets, and nodes that overlay would take for whiteouts: anybody may make those."""
    return stat.S_ISSOCK(status.st_mode) or (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0)


def _is_shared(known: Known | None) -> bool:
    return known is not None and known.wanted.shared is not None


def _kept_attributes(target: int | str) -> tuple[tuple[str, bytes], ...]:
    return tuple(
        (name, os.getxattr(target, name, follow_symlinks=isinstance(target, int)))
        for name in sorted(attributes.names(target))
        if attributes.is_kept(name)
    )
