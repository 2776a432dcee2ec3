"""Brings all images of an index from the store to a registry: what is named before what names it.

An index that was pulled whole goes out byte for byte, with all that is no image. Any other is made anew over
its members, each of which goes out as it would alone (push.py).
"""

from __future__ import annotations

from wherry.base.errors import Corrupt
from wherry.base.events import Emit, ignore
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Form, Packing, index_over
from wherry.oci import digest as digests
from wherry.oci.descriptor import Index, Manifest, describe, parse
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.registry.access import USUAL, Access
from wherry.registry.client import Client
from wherry.registry.push import Pushing, known_sources, with_tag
from wherry.store import events
from wherry.store.indexes import ImageIndex, Member
from wherry.store.store import Store


def push_all(
    store: Store,
    index: ImageIndex,
    reference: Reference,
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    access: Access = USUAL,
    form: Form = AS_IT_IS,
    by_digest: bool = False,
    foreign: bool = False,
) -> Digest:
    """The digest of the index that the registry now has under `reference`, or without a tag if `by_digest`.

    With a `form` an index that was pulled whole is made anew too, of its images alone: what else it had, such
    as attestations, speaks of manifests that are not sent. Bytes are told, and `foreign` means, as in `push`.
    """
    reference = with_tag(reference)
    tag = "" if by_digest else reference.tag
    with store.lease():
        layers = {
            diff_id for member in index.members for diff_id in store.images.get(member.image).config.diff_ids
        }
        sources = known_sources(store, layers, reference)
        mounted = sorted(set(sources.values()))
        with Client(reference, True, mounted, access) as client:
            pushing = Pushing(store, client, sources, emit, vertex, foreign)
            sender = _Sender(store, client, index, pushing, form)
            digest = sender.unchanged(tag) if index.whole and form == AS_IT_IS else sender.anew(tag)
        store.images.add_repo_digest(reference.name, digest, index.primary, index.id)
    events.record_transfer(store.root, "push", reference)
    return digest


class _Sender:
    def __init__(self, store: Store, client: Client, index: ImageIndex, pushing: Pushing, form: Form) -> None:
        self._store = store
        self._layers = Layers(store)
        self._client = client
        self._index = index
        self._pushing = pushing
        self._form = form

    def anew(self, tag: str) -> Digest:
        """A new index over the members."""
        entries = []
        for member in self._index.members:
            manifest = self._image(member)
            self._client.put_manifest(manifest.digest, manifest.raw, manifest.media_type)
            entries.append(describe(manifest, member.described, member.platform))
        index = index_over(entries, self._index.annotations)
        return self._client.put_manifest(tag or index.digest, index.raw, index.media_type)

    def unchanged(self, tag: str) -> Digest:
        """The index as it came, and all that it names."""
        members = {member.manifest: member for member in self._index.members}
        for digest, document in _named_first(self._store, self._index.id):
            if digest in members:
                made = self._image(members[digest])
                if made.digest != digest:
                    raise Corrupt(
                        f"layers of the image {digests.short(members[digest].image)} are missing: it cannot"
                        " be pushed as it was pulled",
                        hint="pull the name again with --all-platforms",
                    )
            elif isinstance(document, Manifest):
                for blob in dict.fromkeys((*document.layers, document.config)):
                    self._pushing.blob(blob)
            name = tag if tag and digest == self._index.id else digest
            self._client.put_manifest(name, document.raw, document.media_type)
        return self._index.id

    def _image(self, member: Member) -> Manifest:
        image = self._store.images.of(member)
        packing = Packing(self._store, self._layers, image, self._form, member.annotations)
        return self._pushing.image(packing, image.config.diff_ids)


def _named_first(store: Store, root: Digest) -> list[tuple[Digest, Manifest | Index]]:
    """Everything that an index of the store names, each once, indexes behind what they name."""
    found: dict[Digest, Manifest | Index] = {}
    pending = [(root, False)]
    while pending:
        digest, is_ready = pending.pop()
        if digest in found:
            continue
        document = parse(store.blobs.read(digest))
        if is_ready or isinstance(document, Manifest):
            found[digest] = document
        else:
            pending.append((digest, True))
            pending += [(entry.digest, False) for entry in reversed(document.manifests)]
    return list(found.items())
