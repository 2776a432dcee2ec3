"""`cp`: files into a container and out of one, by docker's table of what a path is and whether it is there.

What is copied belongs to root in a container, and to the user on this machine. With that, set-user-ID bits
and capabilities of files go, as chown(2) has it: else a container could make a program that runs as whoever
copies it out. `keep` leaves all of it as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Protocol

from wherry.base.errors import Denied, WherryError
from wherry.base.paths import Root
from wherry.base.rights import file_owner
from wherry.base.tuples import NamedTuple
from wherry.container.files import places
from wherry.container.files.laying import Face, Laying
from wherry.container.files.places import Place, Source, Target
from wherry.container.files.seen import Seen
from wherry.container.files.taking import Taken, Taking
from wherry.layer.compress import decompressed
from wherry.layer.entry import SYMLINK, Entry
from wherry.layer.header import END, header, padding
from wherry.layer.pipe import BLOCK
from wherry.layer.reader import read_layer
from wherry.layer.source import limits
from wherry.snapshot import attributes

_PLAIN_MODE = 0o1777
_CAPABILITY = "security.capability"


class Copied(NamedTuple):
    """`size`: bytes of content; `left_out`: how many devices and sockets were not copied; `is_link`: whether
    it was nothing but a symbolic link."""

    size: int
    left_out: int
    is_link: bool = False


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


def copy_in(source: Place, seen: Seen, target: Place, *, keep: bool, follow: bool) -> Copied:
    """Copy what is on this machine to a container. `follow`: what a link at `source` leads to, and not it."""
    with Root("/", follow=True) as machine:
        return _copy(Seen(machine, True), source, seen, target, _as_it_is if keep else _of_root, follow)


def copy_out(seen: Seen, source: Place, target: Place, *, keep: bool, follow: bool, is_root: bool) -> Copied:
    """Copy what is in a container to this machine. `is_root`: whether the user is; none else can `keep` what
    does not belong to him."""
    face = _as_it_is if keep and is_root else partial(_own if keep else _of_user, file_owner())
    with Root("/", follow=True) as machine:
        return _copy(seen, source, Seen(machine, True), target, face, follow)


def unpack(archive: BinaryIO, seen: Seen, target: Place) -> Copied:
    """Lay down what is in a tar, compressed or not, in a folder of a container, owners and modes as they are
    there. Corrupt for what is no tar."""
    found = places.target(seen.root, target)
    try:
        if found.name:
            raise WherryError(f"cannot unpack an archive to {target.label}: there is no such folder")
        with Laying(found.folder, found.label, _as_it_is, has_owners=seen.has_owners) as laying:
            for entry, content in read_layer(decompressed(archive), limits(), whiteouts=False):
                laying.add(entry, content)
            laying.finish()
    finally:
        os.close(found.folder)
    return Copied(laying.size, laying.left_out)


def pack(seen: Seen, source: Place, sink: Writable, *, follow: bool) -> Copied:
    """Write what is in a container as a tar, as it is."""
    found = places.source(seen.root, source, follow=follow)
    taking = Taking(has_owners=seen.has_owners)
    size = 0
    try:
        for entry, content in _taken(taking, found, found.base, source):
            sink.write(header(entry, in_layer=False))
            if content is not None:
                while data := content.read(BLOCK):
                    sink.write(data)
                sink.write(padding(entry.size))
            size += entry.size
        sink.write(END)
    finally:
        os.close(found.folder)
    return Copied(size, taking.left_out)


def _copy(origin: Seen, source: Place, aim: Seen, target: Place, face: Face, follow: bool) -> Copied:
    found = places.source(origin.root, source, follow=follow)
    try:
        wanted = places.target(aim.root, target)
        try:
            name = _name(found, wanted, source, target)
            taking = Taking(has_owners=origin.has_owners, target=wanted.folder)
            with Laying(wanted.folder, wanted.label, face, has_owners=aim.has_owners) as laying:
                is_link = False
                for entry, content in _taken(taking, found, name, source):
                    laying.add(entry, content)
                    is_link = bool(found.name) and entry.kind == SYMLINK
                laying.finish()
        finally:
            os.close(wanted.folder)
    finally:
        os.close(found.folder)
    return Copied(laying.size, laying.left_out + taking.left_out, is_link)


def _name(found: Source, wanted: Target, source: Place, target: Place) -> str:
    """What the copy is called in the target's folder; "" for content that comes right into it."""
    is_folder = not found.name
    if not wanted.name:
        return found.base
    if is_folder and wanted.is_there:
        raise WherryError(f"cannot copy the folder {source.label} to the file {target.label}")
    if not is_folder and target.has_to_be_folder:
        raise WherryError(f"cannot copy to {target.label}: there is no such folder")
    return wanted.name


def _taken(taking: Taking, found: Source, name: str, source: Place) -> Iterator[Taken]:
    try:
        if found.name:
            yield from taking.one(found.folder, found.name, name)
        else:
            yield from taking.all(found.folder, name)
    except OSError as error:
        inside = f" ({error.filename})" if error.filename else ""
        raise WherryError(f"cannot read {source.label}{inside}: {error.strerror}") from None


def _as_it_is(entry: Entry) -> Entry:
    """An archive may have attributes that are another machine's."""
    return entry._replace(xattrs=tuple(pair for pair in entry.xattrs if attributes.is_kept(pair[0])))


def _plain(entry: Entry) -> Entry:
    xattrs = tuple(pair for pair in entry.xattrs if pair[0] != _CAPABILITY)
    return entry._replace(mode=entry.mode & _PLAIN_MODE, xattrs=xattrs)


def _of_root(entry: Entry) -> Entry:
    return _plain(entry)._replace(uid=0, gid=0)


def _of_user(user: tuple[int, int], entry: Entry) -> Entry:
    return _plain(entry)._replace(uid=user[0], gid=user[1])


def _own(user: tuple[int, int], entry: Entry) -> Entry:
    if (entry.uid, entry.gid) != user:
        raise Denied(
            f"cannot give {entry.path} to its owner, {entry.uid}:{entry.gid}: only root can",
            hint="without -a it is yours; an archive, `wherry cp CONTAINER:PATH -`, says whose it is",
        )
    return _as_it_is(entry)
