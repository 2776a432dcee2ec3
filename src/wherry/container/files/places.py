"""Paths that a copy is told: of this machine, or `CONTAINER:PATH`; and what is there, by docker's rules."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from wherry.base.errors import NotFound, WherryError
from wherry.base.paths import Root
from wherry.base.tuples import NamedTuple

_MOST_LINKS = 40
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Place(NamedTuple):
    """`container` is "" for this machine's files. `path` is absolute and clean but for its end: a slash, or a
    slash and a dot there mean that it is a folder."""

    container: str
    path: str

    @property
    def label(self) -> str:
        """For people."""
        return self.named(self.path)

    @property
    def has_to_be_folder(self) -> bool:
        return self.path.endswith(("/", "/."))

    def named(self, path: str) -> str:
        """Another path at the same place, for people."""
        return f"{self.container}:{path}" if self.container else path


class Source(NamedTuple):
    """What is to be copied: what is called `name` in `folder` (descriptor); with no name, the folder itself.

    `base`: what it is called in a folder that it is copied to; "" where only what is in it is to be copied.
    """

    folder: int
    name: str
    base: str


class Target(NamedTuple):
    """Where it comes to: `folder` (descriptor); what is called `name` in it, with no name the folder itself.

    `label` is how the folder is called, with a slash at its end.
    """

    folder: int
    name: str
    label: str
    is_there: bool


def parse(word: str) -> Place:
    """docker's rule: what begins with a slash or a dot, or has no colon, is a path of this machine."""
    container, colon, path = word.partition(":")
    if word.startswith(("/", ".")) or not colon or not container:
        return Place("", clean(word, os.getcwd()))
    return Place(container, clean(path, "/"))


def clean(path: str, folder: str) -> str:
    """`path`, taken from `folder`, without dots and double slashes but for what its end says."""
    whole = "/" + posixpath.normpath(posixpath.join(folder, path)).lstrip("/")
    if path.endswith("/.") or path in (".", ""):
        return f"{whole.rstrip('/')}/."
    return f"{whole.rstrip('/')}/" if path.endswith("/") else whole


def source(root: Root, place: Place, *, follow: bool) -> Source:
    """What is at a place that is copied from; with `follow` what a link there leads to. The descriptor is the
    caller's to close. NotFound where there is nothing."""
    bare = _bare(place.path)
    base = posixpath.basename(bare)
    try:
        status = root.stat(bare) if follow or place.has_to_be_folder else root.lstat(bare)
        if stat.S_ISDIR(status.st_mode):
            return Source(root.open(bare, _FOLDER), "", "" if place.path.endswith("/.") else base)
        if place.has_to_be_folder:
            raise WherryError(f"cannot copy {place.label}: it is not a folder")
        folder, name, _ = _followed(root, bare) if follow else (*_parent(root, bare), "")
        return Source(folder, name, base)
    except FileNotFoundError:
        raise NotFound(f"cannot copy {place.label}: there is no such file or folder") from None
    except OSError as error:
        raise WherryError(f"cannot copy {place.label}: {error.strerror}") from None


def target(root: Root, place: Place) -> Target:
    """Where a copy to a place comes to: links are followed, and the folder above has to be there. The
    descriptor is the caller's to close.

    A link of this machine's that leads to no folder is itself what is replaced, other than docker has it: it
    may be what an earlier copy brought out of the container, which would choose what the next one writes to.
    """
    bare = _bare(place.path)
    try:
        is_there = _leads_somewhere(root, bare)
        if is_there and stat.S_ISDIR(root.stat(bare).st_mode):
            return Target(root.open(bare, _FOLDER), "", place.named(f"{bare.rstrip('/')}/"), True)
        if is_there and place.has_to_be_folder:
            raise WherryError(f"cannot copy to {place.label}: it is not a folder")
        if place.container:
            folder, name, path = _followed(root, bare)
        else:
            (folder, name), path = _parent(root, bare), bare
        return Target(folder, name, place.named(f"{posixpath.dirname(path).rstrip('/')}/"), is_there)
    except FileNotFoundError as error:
        raise NotFound(f"cannot copy to {place.label}: there is no folder {error.filename}") from None
    except OSError as error:
        raise WherryError(f"cannot copy to {place.label}: {error.strerror}") from None


def _leads_somewhere(root: Root, path: str) -> bool:
    try:
        root.stat(path)
    except FileNotFoundError:
        return False
    return True


def _followed(root: Root, path: str) -> tuple[int, str, str]:
    """The folder and the name of what `path` leads to, be it there or not, links at its end followed; and its
    path."""
    for _ in range(_MOST_LINKS):
        folder, name = _parent(root, path)
        try:
            link = os.readlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):  # no link, or nothing
                return folder, name, path
            os.close(folder)
            raise
        os.close(folder)
        path = posixpath.join(posixpath.dirname(path), link)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _parent(root: Root, path: str) -> tuple[int, str]:
    """The folder that `path` is in, and its last name. FileNotFoundError with the folder's path."""
    try:
        with root.parent(path) as (folder, name):
            return os.dup(folder), name
    except FileNotFoundError as error:
        error.filename = posixpath.dirname(path)
        raise


def _bare(path: str) -> str:
    """Without what its end says."""
    return path.removesuffix("/.").rstrip("/") or "/"
