"""`wherry images --tree`: every name with the images of its platforms, and what they take, as docker's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from wherry.base.text import one_line
from wherry.cli import facts
from wherry.container.containers import images_in_use
from wherry.layer.packing import original
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.store import parts
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.store.usage import Ledger
from wherry.ui import table, units

_HEADER = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "IN USE")
_NO_NAME = "<untagged>"


def text(store: Store, images: Iterable[Image], names_of: dict[Digest, list[str]], whole: bool) -> str:
    """The table. `names_of`: the names of each image that are to be shown; `whole`: IDs are not shortened.

    DISK USAGE is what lies on the disk, uncompressed files too; what the images of a name share counts once
    for all of them. CONTENT SIZE is that of the blobs as a registry has them, where they are here.
    """
    modes.enter_as_user()
    used = images_in_use(store).keys()
    rows = [
        [one_line(cell) for cell in row]
        for image in images
        for name in names_of[image.id]
        for row in _rows(store, image, name, used, whole)
    ]
    return table.render(_HEADER, rows)


def _rows(
    store: Store, image: Image, name: str, used: Collection[str], whole: bool
) -> Iterator[tuple[str, ...]]:
    index = store.images.index_of(name) if name else None
    if index is None:
        yield _row(store, name or _NO_NAME, image, [image], used, whole)
        return
    members = [store.images.get(member.image) for member in index.members]
    yield _row(store, name, image, members, used, whole)
    for number, (member, its) in enumerate(zip(index.members, members, strict=True), 1):
        branch = "└─" if number == len(members) else "├─"
        yield _row(store, f"{branch} {member.platform}", its, [its], used, whole)


def _row(
    store: Store, shown: str, image: Image, images: list[Image], used: Collection[str], whole: bool
) -> tuple[str, ...]:
    content = {digest: size for one in images for digest, size in _content(store, one)}
    return (
        shown,
        facts.shown_id(image.id, whole),
        units.size(Ledger().count(*parts.of_images(store, images))),
        units.size(sum(content.values())),
        "✔" if any(one.id in used for one in images) else "",
    )


def _content(store: Store, image: Image) -> Iterator[tuple[Digest, int]]:
    """The blobs of the image with their sizes in bytes."""
    yield image.id, store.blobs.size(image.id)
    manifest = original(store, image)
    if manifest:
        yield manifest.digest, len(manifest.raw)
    blobs = manifest.layers if manifest else ()
    yield from ((blob.digest, blob.size) for blob in blobs)
    for diff_id in () if manifest else image.config.diff_ids:
        yield from ((blob.digest, blob.size) for blob in store.layers.blobs_of(diff_id)[:1])
