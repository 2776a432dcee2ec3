"""`-o type=oci`: an OCI image layout, compressed as it would be pushed, in a tar or in a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from wherry.base.errors import Corrupt
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Form, Packing
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Index, describe, make_index
from wherry.output.archive import FULL_NAME, LAYOUT, REF_NAME, blob_name, blocks, named
from wherry.output.result import Part, Result, built
from wherry.output.tarball import Tarball, Writable
from wherry.output.writing import aside, writing
from wherry.store.store import Store


class _Files(Protocol):
    def file(self, name: str, size: int, blocks: Iterable[bytes]) -> None: ...


def write_tar(store: Store, result: Result, sink: Writable, form: Form = AS_IT_IS) -> Descriptor:
    """What the layout's index names: the image's manifest, or the index of its platforms."""
    tarball = Tarball(sink)
    tarball.folder("blobs")
    tarball.folder("blobs/sha256")
    top = _write(store, result, form, tarball)
    _write_index(tarball, named(top, result.names))
    tarball.finish()
    return top


@contextmanager
def folder(store: Store, result: Result, path: str, form: Form = AS_IT_IS) -> Iterator[Folder]:
    """A new layout, or one that is there already: blobs are added to it, and in its index the names move.

    All of it lies there under other names until the folder's `finish`; without it nothing stays.
    """
    files = Folder(path)
    try:
        with writing(path):
            files.make()
            files.top = _write(store, result, form, files)
            _write_index(files, _merged(path, named(files.top, result.names)))
        yield files
    finally:
        files.close()


class Folder:
    """Files of a folder that get their names all at once, in the order in which they were written."""

    top: Descriptor

    def __init__(self, path: str) -> None:
        self._path = path
        self._unfinished: dict[str, str] = {}
        self._made: list[str] = []

    def make(self) -> None:
        """The folders of a layout, where they are not there."""
        os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
        refuse_links(self._path)
        for folder in (self._path, *_folders(self._path)):
            if not os.path.isdir(folder):
                os.mkdir(folder)
                self._made.append(folder)

    def file(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        path = f"{self._path}/{name}"
        if (name.startswith("blobs/") and has_file(path, size)) or path in self._unfinished:
            return
        unfinished = self._unfinished[path] = aside(path)
        with open(unfinished, "xb") as file:
            file.writelines(blocks)

    def finish(self) -> None:
        with writing(self._path):
            for path, unfinished in self._unfinished.items():
                os.rename(unfinished, path)
        self._unfinished = {}

    def close(self) -> None:
        for unfinished in self._unfinished.values():
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
        for folder in reversed(self._made):
            with suppress(OSError):
                os.rmdir(folder)  # only where nothing has come to lie in it


def _folders(layout: str) -> tuple[str, str]:
    return f"{layout}/blobs", f"{layout}/blobs/sha256"


def refuse_links(layout: str) -> None:
    """Corrupt where blobs would be written elsewhere: a layout that is added to may be a stranger's."""
    for folder in _folders(layout):
        if os.path.islink(folder):
            raise Corrupt(f"{folder} is a link: the blobs of a layout are in the layout")


def has_file(path: str, size: int) -> bool:
    """Whether a file, and no link, lies there with so many bytes."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == size


def _write(store: Store, result: Result, form: Form, files: _Files) -> Descriptor:
    """All blobs, each before what names it; the one that names all the others."""
    layers = Layers(store)
    entries = tuple(_part(store, layers, part, form, files) for part in result.parts)
    if not result.is_index:
        return entries[0]
    index = index_of(entries, result, form)
    files.file(blob_name(index.digest), len(index.raw), [index.raw])
    return describe(index, result.described)


def index_of(entries: tuple[Descriptor, ...], result: Result, form: Form) -> Index:
    """The index of a result's platforms, in the media type that is asked for."""
    return make_index(
        entries, dict(result.annotations), media.DOCKER_LIST if form.oci is False else media.INDEX
    )


def _part(store: Store, layers: Layers, part: Part, form: Form, files: _Files) -> Descriptor:
    image = built(store, part)
    packing = Packing(store, layers, image, form, part.annotations, streams=True)
    blobs = tuple(packing.layer(diff_id) for diff_id in image.config.diff_ids)
    manifest = packing.manifest(blobs)
    for blob in (*manifest.layers, manifest.config):
        with packing.open(blob) as file:
            files.file(blob_name(blob.digest), blob.size, blocks(file))
    files.file(blob_name(manifest.digest), len(manifest.raw), [manifest.raw])
    return Descriptor(
        manifest.media_type,
        manifest.digest,
        len(manifest.raw),
        part.described,
        part.platform,
    )


def _write_index(files: _Files, entries: Iterable[Descriptor]) -> None:
    """The files that make the blobs a layout, last of all."""
    index = make_index(tuple(entries)).raw
    files.file("oci-layout", len(LAYOUT), [LAYOUT])
    files.file("index.json", len(index), [index])


def _merged(path: str, entries: list[Descriptor]) -> list[Descriptor]:
    """`entries` behind those of a layout that is there, less those whose names they take."""
    from wherry.output.layoutimage import Layout

    if not os.path.exists(f"{path}/index.json"):
        return entries
    taken = {_name(entry) for entry in entries}
    return [*(entry for entry in Layout(path).index().manifests if _name(entry) not in taken), *entries]


def _name(entry: Descriptor) -> str:
    """Entries without a name have "" in common: the last one without a name is the one that counts."""
    annotations = dict(entry.annotations)
    return annotations.get(FULL_NAME) or annotations.get(REF_NAME, "")
