"""What a copy consists of: a manifest, or an index with all that it names, for some platforms or for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wherry.base.errors import Corrupt, NotFound, Unsupported, WherryError
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci.descriptor import Descriptor, Index, Manifest, decode, encode, parse
from wherry.oci.digest import Digest
from wherry.oci.match import choose, offered, runnable
from wherry.oci.platform import Platform
from wherry.registry.client import Document
from wherry.registry.parallel import Stop, each
from wherry.registry.referrers import fallback_tag
from wherry.transfer.content import Node, Source, Tree, small

_THREADS = 4
_MAX_DEPTH = 4
"""Indexes within indexes, and referrers of referrers, that are followed."""
_MAX_DOCUMENTS = 10_000
_MAX_BYTES = 64 << 20
"""Of all documents of one copy: they are kept in memory."""
_COSIGN = (".sig", ".att", ".sbom")
"""cosign's tags for signatures, attestations and SBOMs of a manifest: `sha256-<hex>.sig`."""
_SUBJECT = "vnd.docker.reference.digest"
"""buildx's word in an index for the image that an attestation is about."""


def read(
    source: Source,
    platforms: Sequence[Platform] = (),
    referrers: bool = False,
    member: Descriptor | None = None,
) -> Tree:
    """What is to be copied from `source`; without `platforms` all of it. `member`: of an index only that.

    One platform means its image, several an index of their images. NotFound where there is none for one.
    """
    root = source.root()
    if member is not None and member.digest != root.digest:
        root = source.document(member)
    if platforms:
        root = _narrowed(source, root, list(dict.fromkeys(platforms)))
    reader = _Reader(source)
    nodes = tuple(reader.below(_node(source, root)))
    return Tree(nodes, (*reader.referring(nodes), *reader.signatures(nodes)) if referrers else ())


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[Digest] = set()
        self._bytes = 0

    def below(self, root: Node) -> Iterator[Node]:
        """A node behind all that it names."""
        self._note([root.descriptor])
        nodes: dict[Digest, Node] = {}
        level = [root]
        for _ in range(_MAX_DEPTH + 1):
            wanted = self._unseen(child for node in level for child in node.children)
            if not wanted:
                return _in_order(root, nodes)
            level = self._fetch(wanted)
            nodes.update({node.document.digest: node for node in level})
        raise Unsupported(f"{self._source.shown} is an index of indexes, more than {_MAX_DEPTH} deep")

    def referring(self, nodes: Sequence[Node]) -> Iterator[Node]:
        """What refers to `nodes`, and what refers to that; with each all that it names."""
        subjects = [node.document.digest for node in nodes]
        for _ in range(_MAX_DEPTH):
            listed: dict[Digest, Sequence[Descriptor]] = {}

            def ask(subject: Digest, stop: Stop, listed: dict[Digest, Sequence[Descriptor]] = listed) -> None:
                stop.check()
                listed[subject] = [found.descriptor for found in self._source.referrers(subject)]

            each(ask, subjects, _THREADS)
            wanted = self._unseen(entry for subject in subjects for entry in listed[subject])
            if not wanted:
                return
            found = [item for node in self._fetch(wanted) for item in self.below(node)]
            yield from found
            subjects = [node.document.digest for node in found]
        raise Unsupported(f"{self._source.shown} has referrers of referrers, more than {_MAX_DEPTH} deep")

    def signatures(self, nodes: Sequence[Node]) -> Iterator[Node]:
        """What has a tag that cosign gives to what it makes for one of `nodes`."""
        tags = [fallback_tag(node.document.digest) + suffix for node in nodes for suffix in _COSIGN]
        found: dict[str, Document] = {}

        def ask(tag: str, stop: Stop) -> None:
            stop.check()
            document = self._source.tagged(tag)
            if document is not None:
                found[tag] = document

        each(ask, tags, _THREADS)
        for tag in sorted(found):
            node = _node(self._source, found[tag])
            for item in self.below(node):
                yield item._replace(tag=tag) if item is node else item

    def _unseen(self, entries: Iterator[Descriptor]) -> list[Descriptor]:
        return list({entry.digest: entry for entry in entries if entry.digest not in self._seen}.values())

    def _fetch(self, entries: Sequence[Descriptor]) -> list[Node]:
        self._note(entries)
        found: dict[Digest, Node] = {}

        def fetch(entry: Descriptor, stop: Stop) -> None:
            stop.check()
            document = self._source.document(entry)
            if len(document.raw) != entry.size:
                raise Corrupt(f"{self._source.shown} gives a wrong size for {entry.digest}")
            found[entry.digest] = _node(self._source, document)

        each(fetch, entries, _THREADS)
        return [found[entry.digest] for entry in entries]

    def _note(self, entries: Sequence[Descriptor]) -> None:
        entries = [entry for entry in entries if entry.digest not in self._seen]
        self._seen.update(entry.digest for entry in entries)
        self._bytes += sum(entry.size for entry in entries)
        if len(self._seen) > _MAX_DOCUMENTS or self._bytes > _MAX_BYTES:
            raise Unsupported(
                f"{self._source.shown} has more than {_MAX_DOCUMENTS} manifests, or more than"
                f" {_MAX_BYTES >> 20} MiB of them"
            )


def _in_order(node: Node, nodes: dict[Digest, Node]) -> Iterator[Node]:
    """`node` behind those of `nodes` that are below it, which are taken out: each comes once."""
    for entry in node.children:
        child = nodes.pop(entry.digest, None)
        if child is not None:
            yield from _in_order(child, nodes)
    yield node


def parsed(source: Source, document: Document) -> Manifest | Index:
    try:
        return parse(document.raw, document.media_type)
    except WherryError as error:
        error.message = f"{source.shown}: {error.message}"
        raise


def _node(source: Source, document: Document) -> Node:
    found = parsed(source, document)
    document = document._replace(media_type=found.media_type)
    if isinstance(found, Manifest):
        return Node(document, (found.config, *found.layers), found.config)
    # An index may list layers, as BuildKit's older caches do: they are blobs like others.
    manifests = tuple(entry for entry in found.manifests if _is_document(entry))
    return Node(
        document, tuple(entry for entry in found.manifests if not _is_document(entry)), None, manifests
    )


def _is_document(entry: Descriptor) -> bool:
    return entry.media_type in (*media.MANIFESTS, *media.INDEXES, "")


def _narrowed(source: Source, document: Document, platforms: Sequence[Platform]) -> Document:
    found = parsed(source, document)
    if isinstance(found, Manifest):
        _check_platform(source, found, platforms)
        return document
    chosen = {platform: _chosen(source, found, platform) for platform in platforms}
    if len(chosen) == 1:
        (entry,) = chosen.values()
        inner = source.document(entry)
        nested = isinstance(parsed(source, inner), Index)
        return _narrowed(source, inner, platforms) if nested else inner
    return _sparse(found, {entry.digest for entry in chosen.values()})


def _chosen(source: Source, index: Index, platform: Platform) -> Descriptor:
    entry = choose(index.manifests, platform)
    if entry is None:
        raise NotFound(
            f"{source.shown} has no image for {platform}",
            hint=f"it has: {', '.join(offered(index.manifests)) or 'none at all'}",
        )
    return entry


def _sparse(index: Index, wanted: set[Digest]) -> Document:
    """The index with the wanted images alone, and what is attested of them; else as it was."""
    document = decode(index.raw)
    document["manifests"] = [
        raw
        for raw, entry in zip(document["manifests"], index.manifests, strict=True)
        if entry.digest in wanted or dict(entry.annotations).get(_SUBJECT) in wanted
    ]
    raw = encode(document)
    return Document(raw, index.media_type, digests.of(raw))


def _check_platform(source: Source, manifest: Manifest, platforms: Sequence[Platform]) -> None:
    """An image alone has its platform in its config."""
    if manifest.config.media_type not in media.CONFIGS:
        raise Unsupported(f"{source.shown} is not a container image: it has no platform")
    config = configs.parse(small(source, manifest.config))
    for platform in platforms:
        if config.platform not in runnable(platform):
            raise NotFound(f"{source.shown} is for {config.platform}, not for {platform}")


def is_index(source: Source) -> bool:
    return isinstance(parsed(source, source.root()), Index)


def is_image(node: Node) -> bool:
    """Whether it has layers that a root filesystem is made of."""
    layers = (blob.media_type for blob in node.blobs if blob != node.config)
    return node.config is not None and media.is_image(node.config.media_type, layers)
