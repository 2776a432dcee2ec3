"""The content of the store's layers, by diff ID: index, tar stream and tree, each made when it is asked for.

A layer's folder, `layers/<hex>`, has an `index` and one or both of
- `tar`: the uncompressed stream (COPY's result; what came uncompressed from an archive);
- `fs/` and its like: the tree in a form of overlay's, see `forms.py` (RUN's result; what a RUN needed to
  see);
or neither, where a compressed blob in the store has the content. A COPY's layer may have `near`, the diff ID
of the layer that it was made from: its tree is made from that one's, see `near.py`. `seen-*` are answers that
containers were given (`snapshot/remembered.py`); they may be lost.

Each part is made whole in a scratch folder of the store and renamed to its place, `index` last. A kill at
any instant leaves complete parts or none. Who comes second finds the place taken, and drops his own, which is
the same: the place is named after the content. Only the index is synced to the disk, one small file: the
streams are verified whenever they are used, and trees are too many files (see `apply.py`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from wherry.base.errors import Corrupt, Denied, NotFound
from wherry.base.locks import locked
from wherry.base.paths import Root
from wherry.layer.entry import FILE, HARDLINK, OPAQUE, WHITEOUT, Entry
from wherry.layer.forms import FOLDERS, KEPT, KEPT_PLAIN, PLAIN, OverlayForm, current_form
from wherry.layer.near import NAME, Near, keep_name, nearest
from wherry.layer.source import limits
from wherry.layer.streams import TarFile, check, damaged, regenerated, tee, unwritable, verified, window
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci import digest as digests
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest

if TYPE_CHECKING:
    from wherry.layer.incoming import Incoming
    from wherry.layer.splice import Earlier
    from wherry.store.store import Store

Opener = Callable[[], BinaryIO]
_REMEMBERED = 100_000


class Layers:
    """Safe for use by several threads and processes at once. Callers hold the store's lease."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guard = Lock()
        self._recent: dict[Digest, Layer] = {}
        """Indexes read of late, `_REMEMBERED` entries in all: about 40 MB."""

    # what is there

    def has(self, diff_id: Digest) -> bool:
        """True where the content is in the store in some form, so that all of it can be had offline."""
        folder = self._store.layers.folder(diff_id)
        if os.path.exists(f"{folder}/index") and any(
            os.path.exists(f"{folder}/{part}") for part in ("tar", *FOLDERS)
        ):
            return True
        return self._blob(diff_id) is not None

    def index(self, diff_id: Digest) -> Layer:
        """The layer's entries. Read from its blob or tar, and verified, when it has no index yet."""
        layer = self._recent.get(diff_id)
        if layer is None:
            layer = self._read_index(diff_id) or self._make_index(diff_id)
            self._remember(layer)
        return layer

    def tree(self, diff_id: Digest) -> str:
        """The layer's tree on disk, in the form of this process; extracted where it is missing."""
        folder = self._store.layers.folder(diff_id)
        tree = f"{folder}/{current_form().folder}"
        if not (os.path.isdir(tree) and os.path.exists(f"{folder}/index")):
            with self._lock(diff_id):
                if not os.path.isdir(tree):
                    self._extract(diff_id, current_form())
                elif not os.path.exists(f"{folder}/index"):
                    self.index(diff_id)
        return tree

    def contents(self, diff_id: Digest) -> str:
        """A tree of the layer on disk, for what its files hold: in which form is not said."""
        found = self._some_tree(diff_id)
        if found is None:
            with self._lock(diff_id):
                found = self._some_tree(diff_id)
                if found is None:
                    self._extract(diff_id, PLAIN)
        found = found or self._some_tree(diff_id)
        assert found is not None
        return found

    def open_tar(self, diff_id: Digest) -> BinaryIO:
        """The uncompressed stream, for reading once from its start to its end; to be closed (use `with`).

        The read that finds the end raises Corrupt where the stream has not the digest `diff_id`.
        """
        return verified(self._open_stream(diff_id), diff_id)

    def open_file(self, diff_id: Digest, entry: Entry) -> BinaryIO:
        """The content of one file of the layer: `entry` is a regular file or a hard link from its index."""
        if entry.kind == HARDLINK:
            entry = next(item for item in self.index(diff_id).entries if item.path == entry.link)
        if entry.kind != FILE:
            raise NotFound(f"{entry.path!r} is no regular file")
        if entry.offset >= 0:
            try:
                tar = open(self._place(diff_id, "tar"), "rb", buffering=0)  # noqa: SIM115 - the window's to close
            except FileNotFoundError:
                pass
            else:
                return window(tar, entry.offset, entry.size)
        with Root(self._tree_to_read(diff_id)) as root:
            try:
                return open(root.open(entry.path), "rb")
            except OSError as error:
                raise damaged(entry, error.strerror) from None

    def earlier(self, diff_id: Digest) -> Earlier | None:
        """The stream of a layer that `add_tar` has written, to take parts of; to be closed. None where it is
        gone."""
        from wherry.layer.splice import Earlier

        layer = self._read_index(diff_id)
        if layer is None:
            return None
        try:
            return Earlier(layer, open(self._place(diff_id, "tar"), "rb", buffering=0))
        except FileNotFoundError:
            return None

    # what comes in

    def add_tar(
        self, write: Callable[[LayerWriter], None], *, foreign: bool = False, near: Digest | None = None
    ) -> Layer:
        """A layer of the entries that `write` adds; its stream is kept. `near` is one that has most of them.

        With `foreign` they are a stranger's, and may contradict each other: what they add up to is read from
        the stream. Corrupt where that is nothing.
        """
        with self._store.scratch("layer") as scratch:
            with TarFile(f"{scratch}/tar") as tar, LayerWriter(tar.write) as writer:
                write(writer)
                layer = writer.finish()
                tar.finish()
            if foreign:
                layer = _read_again(f"{scratch}/tar")
            self._publish(layer.diff_id, scratch, "tar")
            if near is not None:
                keep_name(f"{scratch}/{NAME}", near)
                self._publish(layer.diff_id, scratch, NAME)
            self._keep_index(layer, scratch)
        return layer

    def add_upper(
        self, folder: str, entries: Iterable[tuple[Entry, Opener | None]], form: OverlayForm
    ) -> Layer:
        """A layer of the tree `folder`, which lies in the store's `tmp/` and is taken over.

        `entries`: in the order of the stream, with the way to open each regular file. The stream is hashed
        and not kept. The tree must hold just these entries, in the form that is named.
        """
        with LayerWriter() as writer:
            for entry, opener in entries:
                if opener is None:
                    writer.add(entry)
                else:
                    with opener() as file:
                        writer.add(entry, file)
            layer = writer.finish()
        with self._store.scratch("layer") as scratch:
            self.take_tree(folder, layer, form)
            self._keep_index(layer, scratch)
        return layer

    def add_stream(self, stream: BinaryIO, *, extract: bool) -> Layer:
        """A layer from an uncompressed tar of anybody; kept as it is, and as a tree too if `extract`."""
        from wherry.layer.apply import extract as extract_into
        from wherry.layer.apply import read_index_of

        form = current_form()
        with self._store.scratch("layer") as scratch:
            with TarFile(f"{scratch}/tar") as tar:
                kept = tee(stream, tar.write)
                if extract:
                    layer = extract_into(kept, f"{scratch}/{form.folder}", form, limits())
                else:
                    layer = read_index_of(kept, limits())
                tar.finish()
            self._publish(layer.diff_id, scratch, "tar")
            if extract:
                self._publish(layer.diff_id, scratch, form.folder)
            self._keep_index(layer, scratch)
        return layer

    def add_blob(self, diff_id: Digest, blob: Descriptor) -> None:
        """A layer whose blob, compressed or not, is in the store already; Corrupt where it carries another.

        It is read to its end before it is entered: a stranger's registry must not make this store believe
        that a blob of its own carries a well-known layer.
        """
        incoming = self.incoming(diff_id)
        with self._store.blobs.open(blob.digest) as file:
            incoming.read(file)
        incoming.enter(blob)

    def incoming(self, diff_id: Digest, trees: str = "") -> Incoming:
        """A layer on its way in: its blob is read while it arrives, and entered when it is in the store.

        `trees`: a folder in the store's `tmp/`, where it is extracted on the way; "" for no extraction.
        """
        from wherry.layer.incoming import Incoming

        return Incoming(self, diff_id, trees)

    def take_tree(self, folder: str, layer: Layer, form: OverlayForm) -> None:
        """Take over the folder, which lies in the store's `tmp/`, as the layer's tree."""
        self._move(folder, self._place(layer.diff_id, _folder(form, layer)))

    def enter(self, blob: Descriptor, layer: Layer) -> None:
        """Enter a blob that is in the store, and was seen to carry `layer`."""
        self._store.layers.add_blob(layer.diff_id, blob)
        with self._store.scratch("layer") as scratch:
            self._keep_index(layer, scratch)

    # what goes out

    def compressed(self, diff_id: Digest, compression: str = "gzip", level: int | None = None) -> Descriptor:
        """The layer as a blob of the store, made if need be; its media type is OCI's.

        One that is there is taken if it was made here in the same way, by whatever version of the compressor;
        one that came from elsewhere, if no `level` is asked for.
        """
        from wherry.layer import compress

        accepted = compress.accepted_types(compression)
        maker = compress.compressor(compression, level)
        makers = self._store.layers.makers(diff_id)
        for blob in self._store.layers.blobs_of(diff_id):
            made = makers[blob.digest]
            is_so = compress.is_alike(made, maker) if made else level is None
            if is_so and blob.media_type in accepted and self._store.blobs.has(blob.digest):
                return blob._replace(media_type=accepted[0])
        with self._store.blobs.writer() as writer, self.open_tar(diff_id) as tar:
            with compress.Compressing(writer.write, compression, level=level) as compressing:
                while data := tar.read(1 << 20):
                    compressing.write(data)
                compressing.finish()
            size = writer.size
            blob = Descriptor(accepted[0], writer.commit(), size)
        self._store.layers.add_blob(diff_id, blob, maker)
        return blob

    # within

    def _read_index(self, diff_id: Digest) -> Layer | None:
        from wherry.layer.index import read_index

        try:
            return read_index(self._place(diff_id, "index"))
        except (FileNotFoundError, Corrupt):
            return None  # a damaged one is made again where the content is there

    def _make_index(self, diff_id: Digest) -> Layer:
        from wherry.layer.apply import read_index_of

        with self._open_stream(diff_id) as tar:
            layer = read_index_of(tar, limits())
        check(diff_id, layer.diff_id)
        with self._store.scratch("layer") as scratch:
            self._keep_index(layer, scratch)
        return layer

    def _extract(self, diff_id: Digest, form: OverlayForm) -> None:
        from wherry.layer.apply import extract

        if self._extract_near(diff_id, form):
            return
        with self._store.scratch("layer") as scratch:
            with self._open_stream(diff_id) as tar:
                layer = extract(tar, f"{scratch}/tree", form, limits())
            check(diff_id, layer.diff_id)
            self.take_tree(f"{scratch}/tree", layer, form)
            if not os.path.exists(self._place(diff_id, "index")):
                self._keep_index(layer, scratch)

    def _extract_near(self, diff_id: Digest, form: OverlayForm) -> bool:
        """Make the tree of one that is near, where there is one; what is the same is linked."""
        from wherry.layer.apply import extract_near

        others = nearest(diff_id, self._store.layers.folder)
        layer = self._read_index(diff_id) if others else None
        if layer is None:
            return False
        for other in others:
            tree = self._place(other, _folder(form, layer))
            if os.path.isdir(tree) and (index := self._read_index(other)):
                break
        else:
            return False
        with self._store.scratch("layer") as scratch, closing(Near(layer, index, tree, form)) as near:
            if not near.is_worth_it:
                return False
            try:
                with open(self._place(diff_id, "tar"), "rb", buffering=0) as tar:
                    extract_near(layer, tar, f"{scratch}/tree", form, near)
            except (FileNotFoundError, Corrupt):
                return False  # there is another way, or it says what is wrong
            self.take_tree(f"{scratch}/tree", layer, form)
        return True

    def _open_stream(self, diff_id: Digest) -> BinaryIO:
        from wherry.layer.compress import decompressed

        folder = self._store.layers.folder(diff_id)
        try:
            return open(f"{folder}/tar", "rb", buffering=0)
        except FileNotFoundError:
            pass
        if blob := self._blob(diff_id):
            return decompressed(self._store.blobs.open(blob.digest))
        layer = self._read_index(diff_id)
        tree = self._some_tree(diff_id)
        if layer is None or tree is None:
            raise NotFound(
                f"layer {digests.short(diff_id)} is not in the store",
                hint="pull or build the image again",
            )
        return regenerated(layer, tree)

    def _some_tree(self, diff_id: Digest) -> str | None:
        """A tree that is there, for the contents of its files: its form does not matter."""
        folder = self._store.layers.folder(diff_id)
        own = current_form().folder
        for name in (own, *FOLDERS):
            if os.path.isdir(f"{folder}/{name}"):
                return f"{folder}/{name}"
        return None

    def _tree_to_read(self, diff_id: Digest) -> str:
        """Some tree: where one must be made, one that can be mounted later, if this store can hold it."""
        found = self._some_tree(diff_id)
        if found is None:
            try:
                return self.tree(diff_id)
            except Denied:
                return self.contents(diff_id)
        return found

    def _blob(self, diff_id: Digest) -> Descriptor | None:
        for blob in self._store.layers.blobs_of(diff_id):
            if self._store.blobs.has(blob.digest):
                return blob
        return None

    def _keep_index(self, layer: Layer, scratch: str) -> None:
        """The last step of every way in: with its index a layer is there."""
        from wherry.layer.index import write_index

        try:
            write_index(f"{scratch}/index", layer)
        except OSError as error:
            raise unwritable(error) from None
        self._publish(layer.diff_id, scratch, "index")
        self._store.layers.add(layer.diff_id, layer.size)
        self._remember(layer)

    def _remember(self, layer: Layer) -> None:
        with self._guard:
            self._recent[layer.diff_id] = layer
            count = sum(len(kept.entries) for kept in self._recent.values())
            for old in list(self._recent)[:-1]:
                if count <= _REMEMBERED:
                    break
                count -= len(self._recent.pop(old).entries)

    @contextmanager
    def _lock(self, diff_id: Digest) -> Iterator[None]:
        """One extraction of a layer at a time, in all processes: the others wait for its result."""
        folder = self._store.layers.folder(diff_id)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with locked(folder):
            yield

    def _publish(self, diff_id: Digest, scratch: str, part: str) -> None:
        self._move(f"{scratch}/{part}", self._place(diff_id, part))

    def _place(self, diff_id: Digest, part: str) -> str:
        return f"{self._store.layers.folder(diff_id)}/{part}"

    def _move(self, source: str, target: str) -> None:
        try:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(source, target)
        except OSError as error:
            # a folder that is there already is another process's same result; the scratch folder's end
            # deletes ours. An empty one is replaced, and files are replaced by their like.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise unwritable(error) from None


def _folder(form: OverlayForm, layer: Layer) -> str:
    """Where a tree lies. One of a layer that hides nothing is the same in the plain form and in overlay's."""
    if form is PLAIN and not any(entry.kind in (WHITEOUT, OPAQUE) for entry in layer.entries):
        return current_form().folder
    return KEPT_PLAIN.folder if form is PLAIN and current_form() is KEPT else form.folder


def _read_again(tar: str) -> Layer:
    from wherry.layer.apply import read_index_of

    with open(tar, "rb", buffering=0) as stream:
        return read_index_of(stream, limits())
