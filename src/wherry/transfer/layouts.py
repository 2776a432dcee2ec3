"""An OCI image layout as a place to copy from and to: a folder, or the files of a tar."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, BinaryIO

from wherry.base.errors import NotFound, Unsupported, UsageError, WherryError
from wherry.base.locks import locked
from wherry.base.text import one_line
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, decode, encode
from wherry.oci.digest import Digest
from wherry.output.archive import FULL_NAME, LAYOUT, REF_NAME, blob_name
from wherry.output.layout import has_file, refuse_links
from wherry.output.layoutimage import Layout
from wherry.output.writing import aside, writing
from wherry.registry.client import Document, Report
from wherry.registry.lists import by_numbers
from wherry.registry.referrers import Referrer, artifact_type_of, subject_of
from wherry.registry.referrers import entries as listing
from wherry.store.store import remove_tree
from wherry.transfer.content import Node, Opener, Source, Tree, copy_blocks
from wherry.transfer.places import Place

Entry = dict[str, Any]
"""A descriptor in an index, as JSON."""

_THREADS = 4
_MAX_ENTRIES = 10_000
_LIST = re.compile(r"sha256-[0-9a-f]{64}")
"""The tag that stands in for the Referrers API."""
_OF_AN_IMAGE = re.compile(rf"{_LIST.pattern}(?:\.[a-z]+)?")
"""That one, or one of cosign's."""


class LayoutSource:
    """`layout` is read as `place` says: the image of its name or digest, or the only one that there is."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self._layout = layout
        self._place = place
        self._guard = Lock()
        self._referring: dict[Digest, list[Referrer]] | None = None

    @property
    def shown(self) -> str:
        return self._place.text

    def root(self) -> Document:
        entries, place = self._entries(), self._place
        if place.digest:
            return self.document(Descriptor("", place.digest, 0))
        if place.name:
            found = [entry for entry in entries if place.name in _all_names(entry)]
        else:
            found = [entry for entry in entries if not self._is_beside(entry)]
        if not found:
            missing = f"no image {place.name!r}" if place.name else "no image"
            raise NotFound(f"{place.path} has {missing}", hint=_offered(entries))
        if len({entry.digest for entry in found}) > 1:
            raise UsageError(
                f"{place.path} has several images, and {place.text} does not say which",
                hint=_offered(entries),
            )
        return self.document(found[0])

    def document(self, entry: Descriptor) -> Document:
        return Document(self._layout.document(entry), entry.media_type, entry.digest)

    def open(self, blob: Descriptor) -> BinaryIO:
        return self._layout.open(blob_name(blob.digest))

    def referrers(self, digest: Digest) -> Sequence[Referrer]:
        """They lie beside the images without a name (as oras has them), or in an index (as regctl has)."""
        with self._guard:
            if self._referring is None:
                self._referring = self._find_referring()
            return self._referring.get(digest, [])

    def tagged(self, tag: str) -> Document | None:
        found = [entry for entry in self._entries() if _name(entry) == tag]
        return self.document(found[0]) if found else None

    def _entries(self) -> tuple[Descriptor, ...]:
        entries = self._layout.index().manifests
        if len(entries) > _MAX_ENTRIES:
            raise Unsupported(f"{self.shown}: its index has more than {_MAX_ENTRIES} entries")
        return entries

    def _find_referring(self) -> dict[Digest, list[Referrer]]:
        found: dict[Digest, list[Referrer]] = {}
        for entry in self._entries():
            document = self.document(entry)
            listed = listing(document.raw, document.media_type) if _is_list(entry) else ()
            for one in [entry, *(referrer.descriptor for referrer in listed)]:
                raw = self._layout.document(one)
                if (subject := subject_of(raw)) is not None:
                    plain = Descriptor(one.media_type, one.digest, len(raw))
                    found.setdefault(subject, []).append(Referrer(plain, artifact_type_of(raw)))
        return found

    def _is_beside(self, entry: Descriptor) -> bool:
        """What refers to an image is no choice where none is named."""
        if _name(entry):
            return _OF_AN_IMAGE.fullmatch(_name(entry)) is not None
        return subject_of(self._layout.document(entry)) is not None


def names(layout: Layout) -> list[str]:
    """What the layout calls its images, each once and sorted."""
    found = {one_line(_name(entry)) for entry in layout.index().manifests} - {""}
    return sorted((name for name in found if not _OF_AN_IMAGE.fullmatch(name)), key=by_numbers)


class LayoutTarget:
    """Blobs come to their places when they are whole, and the index is replaced at the end.

    So a copy that fails changes no image of a layout; whole blobs that it left are taken by the next one.
    """

    threads = _THREADS
    foreign = False

    def __init__(self, folder: str, place: Place, final: str = "") -> None:
        """`folder` is renamed to `final` when all is there, if that is given."""
        self.folder = folder
        self._final = final
        self._place = place

    def begin(self, tree: Tree, source: Source) -> Sequence[Node]:
        del source
        if self._place.digest not in (None, tree.root.document.digest):
            raise UsageError(
                f"cannot copy to {self._place.text}: what is copied has the digest"
                f" {tree.root.document.digest}"
            )
        refuse_links(self.folder)
        with writing(self.folder):
            os.makedirs(f"{self.folder}/blobs/sha256", exist_ok=True)
        return tree.all

    def blob(self, blob: Descriptor, open_blob: Opener, report: Report) -> None:
        path = f"{self.folder}/{blob_name(blob.digest)}"
        if has_file(path, blob.size):
            report(blob.size)
            return
        report(0)
        with open_blob() as stream, self._written(path) as file:
            copy_blocks(stream, file.write, report)

    def finish(self, tree: Tree) -> None:
        for node in tree.all:
            with self._written(f"{self.folder}/{blob_name(node.document.digest)}") as file:
                file.write(node.document.raw)
        if not os.path.exists(f"{self.folder}/oci-layout"):
            with self._written(f"{self.folder}/oci-layout") as file:
                file.write(LAYOUT)
        entries = index_entries(tree, self._place.name)
        enter(self.folder, entries)
        if self._final:
            with writing(self._final):
                _bring(self.folder, self._final, entries)

    @contextmanager
    def _written(self, path: str) -> Iterator[BinaryIO]:
        unfinished = aside(path)
        try:
            with writing(path), open(unfinished, "xb") as file:
                yield file
            with writing(path):
                os.rename(unfinished, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)


@contextmanager
def layout_target(place: Place) -> Iterator[LayoutTarget]:
    """The layout of `place`: one that is there is added to, a new one appears when it is whole."""
    path = os.path.realpath(place.path)
    if _is_there(path):
        yield LayoutTarget(path, place)
        return
    parent, name = os.path.split(path)
    beside = f"{parent}/.{name[:200]}.{os.getpid()}-{os.urandom(4).hex()}.new"
    with writing(place.path):
        os.makedirs(parent, exist_ok=True)
        os.mkdir(beside)
    try:
        yield LayoutTarget(beside, place, path)
    finally:
        remove_tree(beside)


def _is_there(path: str) -> bool:
    """Whether there is a layout; something else that must not be made one is refused."""
    try:
        content = set(os.listdir(path))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise WherryError(f"cannot write {path}: {error.strerror}") from None
    if content and "index.json" not in content and "oci-layout" not in content:
        raise WherryError(f"{path} has other things in it than an OCI layout", hint="name a new folder")
    return bool(content)


def _bring(folder: str, path: str, entries: Sequence[Entry]) -> None:
    """Rename a new layout to its place; into the one that another process has made there in the meantime."""
    try:
        os.rename(folder, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        blobs = "blobs/sha256"
        for name in os.listdir(f"{folder}/{blobs}"):
            os.rename(f"{folder}/{blobs}/{name}", f"{path}/{blobs}/{name}")
        enter(path, entries)


def enter(folder: str, entries: Sequence[Entry]) -> None:
    """Add `entries` to a layout's index, in the place of those of their names or digests."""
    with writing(f"{folder}/index.json"), locked(folder):
        document: Entry = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": []}
        if os.path.exists(f"{folder}/index.json"):
            document = decode(Layout(folder).index().raw)
        new = [(entry["digest"], _named_as(entry)) for entry in entries]
        taken = {name for _, name in new if name}
        kept = [
            item
            for item in document.get("manifests") or []
            if _named_as(item) not in taken and (item["digest"], _named_as(item)) not in new
        ]
        document["manifests"] = kept + list(entries)
        unfinished = aside(f"{folder}/index.json")
        with open(unfinished, "xb") as file:
            file.write(encode(document))
        os.rename(unfinished, f"{folder}/index.json")


def index_entries(tree: Tree, name: str) -> list[Entry]:
    """What a layout's index says of a tree: its root under `name`, and what refers to it under none."""
    entries = [_entry(tree.root)]
    if name:
        entries[0]["annotations"] = {REF_NAME: name}
    for node in tree.referrers:
        if node.tag:
            entries.append(_entry(node) | {"annotations": {REF_NAME: node.tag}})
        elif subject_of(node.document.raw) is not None:
            entries.append(_entry(node))
    return entries


def _entry(node: Node) -> Entry:
    kind, digest, size, *_ = node.descriptor
    entry: Entry = {"mediaType": kind, "digest": digest, "size": size}
    artifact_type = decode(node.document.raw).get("artifactType")
    return entry | ({"artifactType": artifact_type} if artifact_type else {})


def _named_as(entry: Entry) -> str:
    return str((entry.get("annotations") or {}).get(REF_NAME, ""))


def _all_names(entry: Descriptor) -> set[str]:
    """As it is called, and its tag alone where that is a whole name."""
    annotations = dict(entry.annotations)
    whole = {annotations.get(FULL_NAME, ""), annotations.get(REF_NAME, "")} - {""}
    return whole | {name.rpartition(":")[2] for name in whole if "/" in name or ":" in name}


def _name(entry: Descriptor) -> str:
    return dict(entry.annotations).get(REF_NAME, "")


def _is_list(entry: Descriptor) -> bool:
    """An index under the tag that stands in for the Referrers API."""
    return entry.media_type in media.INDEXES and _LIST.fullmatch(_name(entry)) is not None


def _offered(entries: Sequence[Descriptor]) -> str:
    if not entries:
        return "it is empty"
    holders: dict[str, set[Digest]] = {}
    for entry in entries:
        if name := _name(entry):
            holders.setdefault(name, set()).add(entry.digest)
    # `app:v1` and `web:v1` are both called v1 in an archive that docker or `wherry save` wrote.
    found = sorted(
        {
            name
            if len(holders[name]) == 1
            else dict(entry.annotations).get(FULL_NAME) or f"{name}@{entry.digest}"
            for entry in entries
            if (name := _name(entry))
        }
    )
    if not found:
        return "its images have no names: write a digest behind the path, @sha256:..."
    return f"it has: {', '.join(found[:20])}{', ...' if len(found) > 20 else ''}"
