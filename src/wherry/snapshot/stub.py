"""The stub: what the trees of an image's layers lack to show it, and to have a container's mounts on them.

It has the files and folders to mount on, where the image has none, and the folders that a layer has in its
tree with a made-up mode and owner, because its stream only implies them (`View.implied`): a layer's tree is
shared by images that have such a folder from other layers below.

It lies on top of the image's layers, right below the changes, so that whoever mounts finds a place, and
nothing is made in the upper folder for it. The folders above are there with the image's modes and owners: it
is not to be noticed. (Docker has an "init layer" for this, in the same place. At the bottom, an opaque folder
or a whiteout of the image would hide it.)
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from wherry.layer import owners
from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.forms import current_form
from wherry.oci.digest import NO_LAYERS, hex_of
from wherry.snapshot.view import View

MOUNTPOINTS = ("/dev/", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc/", "/sys/")
"""What every container has mounts on; folders end with a slash."""

_EMPTY = bytes.fromhex(hex_of(NO_LAYERS))
"""The digest of no bytes."""

Stub = dict[str, Entry]
"""By path, parents first; with the folders of the image that are on the way."""


def stub_of(view: View, mountpoints: Iterable[str] = (), *, bare: bool = False) -> Stub:
    """The stub for `MOUNTPOINTS` and `mountpoints` (absolute, folders end with a slash) on an image; with
    `bare`, without any.
    """
    stub: Stub = {}
    for path in view.implied():
        _add(stub, view, path, is_folder=True)
    for mountpoint in () if bare else (*MOUNTPOINTS, *mountpoints):
        place = view.resolve(mountpoint)
        if view.lookup(place) is None:
            _add(stub, view, place, mountpoint.endswith("/"))
    return stub


def _add(stub: Stub, view: View, place: str, is_folder: bool) -> None:
    parts = place.split("/")
    for count in range(1, len(parts) + is_folder):
        folder = "/".join(parts[:count])
        found = view.lookup(folder)
        entry = found.entry if found else stub.get(folder) or Entry(folder, DIRECTORY, 0o755)
        if entry.kind != DIRECTORY:
            return  # a file is in the way; whoever mounts there says so
        stub[folder] = entry
    if not is_folder:
        stub[place] = Entry(place, FILE, 0o644, digest=_EMPTY)


def make_stub(stub: Stub, path: str) -> None:
    """Writes it below the new folder `path`, which is ours alone."""
    os.mkdir(path)
    for entry in stub.values():
        if entry.kind == DIRECTORY:
            os.mkdir(f"{path}/{entry.path}")
        else:
            os.close(os.open(f"{path}/{entry.path}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
    for entry in reversed(stub.values()):
        make_like(f"{path}/{entry.path}", entry)


def make_like(path: str, entry: Entry) -> None:
    """Gives a file or folder of ours the mode, owner, extended attributes and time of `entry`."""
    owners.give(path, entry.uid, entry.gid, has_owners=current_form().has_owners)
    for name, value in entry.xattrs:
        os.setxattr(path, name, value)
    os.chmod(path, entry.mode)
    os.utime(path, ns=(entry.mtime, entry.mtime))
