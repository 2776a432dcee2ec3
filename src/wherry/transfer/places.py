"""Where an image is copied from or to, as words: `docker://app:v1`, `oci:folder:tag`, `store:app`.

The words are those of containers-transports(5), which skopeo, podman and buildah take, with `store:` for
wherry's own. A name without any of them is one in a registry, as for docker, crane and regctl.
"""

from __future__ import annotations

import os
import re

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference

REGISTRY, LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE, STORE = (
    "docker",
    "oci",
    "oci-archive",
    "docker-archive",
    "store",
)
STDIO = "-"

_WORDS = {
    "docker": REGISTRY,
    "oci": LAYOUT,
    "oci-layout": LAYOUT,
    "ocidir": LAYOUT,
    "oci-archive": OCI_ARCHIVE,
    "docker-archive": DOCKER_ARCHIVE,
    "store": STORE,
}
"""`oci-layout` is docker buildx's word, `ocidir` regctl's."""

_REFUSED = {
    "containers-storage": "it is podman's store: `podman save` and `podman load` write and read archives",
    "docker-daemon": "it is docker's store: `docker save` and `docker load` write and read archives",
    "dir": "an OCI layout, oci:FOLDER:TAG, is read by all tools",
    "ostree": "",
    "sif": "",
    "tarball": "",
}
_WORD = re.compile(r"([a-z][a-z-]*):(//)?")
_HINT = "write a name in a registry, oci:FOLDER:TAG, oci-archive:FILE, docker-archive:FILE or store:NAME"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:@/+-]*[A-Za-z0-9])?")
"""What a layout may call an image (OCI image-spec, annotations.md, `org.opencontainers.image.ref.name`)."""


class Place(NamedTuple):
    """`text` is what the user wrote.

    `reference`: in a registry and in the store; `path`: a folder or a file, `-` for standard input or output;
    `name` and `digest`: which image of those that are there, empty where it was not said.
    """

    kind: str
    text: str
    reference: Reference | None = None
    path: str = ""
    name: str = ""
    digest: Digest | None = None


def parse(text: str) -> Place:
    """The place that `text` means. UsageError for what is none, Unsupported for places of other tools."""
    match = _WORD.match(text)
    word = match[1] if match else ""
    # `docker:dind` is an image, and one that is used a lot.
    if match and word == REGISTRY and not match[2]:
        word = ""
    if word in _REFUSED:
        raise Unsupported(
            f"{word}: is a place that wherry does not copy from or to",
            hint="\n".join(filter(None, (_REFUSED[word], _HINT))),
        )
    kind = _WORDS.get(word)
    rest = text[match.end() :] if match and kind else text
    if kind in (None, REGISTRY):
        return Place(REGISTRY, text, _reference(text, rest))
    if not rest:
        raise UsageError(f"{text!r} names no place", hint=_HINT)
    if kind == STORE:
        return Place(STORE, text, name=rest)
    return _file(kind or "", text, rest)


def _reference(text: str, name: str) -> Reference:
    if name.startswith((".", "/")):
        raise UsageError(
            f"{text!r} is a path, and not said to be which kind of image",
            hint=f"write oci:{name} for an OCI layout, oci-archive: or docker-archive:{name} for an archive",
        )
    found = _WORD.match(name)
    if found and found[2]:
        raise UsageError(f"{text!r} is no place of an image", hint=_HINT)
    return references.parse(name)


def _file(kind: str, text: str, rest: str) -> Place:
    """`PATH[:NAME][@DIGEST]`. The path is the longest beginning that exists, or ends at the first colon."""
    path, name, digest = rest, "", ""
    if not os.path.exists(rest):
        before, _, digest = _behind_at(rest)
        ends = [len(before), *(at for at in range(len(before) - 1, 0, -1) if before[at] == ":")]
        end = next((end for end in ends if os.path.exists(before[:end])), before.find(":"))
        path, name = (before, "") if end < 0 else (before[:end], before[end + 1 :])
    if not path:
        raise UsageError(f"{text!r} names no {'folder' if kind == LAYOUT else 'file'}", hint=_HINT)
    if path == STDIO and kind == LAYOUT:
        raise UsageError(f"{text!r}: a layout is a folder", hint="write oci-archive:- for one in a tar")
    if name and not _NAME.fullmatch(name):
        raise UsageError(f"{text!r}: {name!r} cannot be the name of an image")
    return Place(kind, text, None, path, name, digests.parse(digest) if digest else None)


def _behind_at(rest: str) -> tuple[str, str, str]:
    """Split at the last `@` if a digest is behind it: paths may have others."""
    before, at, digest = rest.rpartition("@")
    return (before, at, digest) if digests.is_digest(digest) else (rest, "", "")


def store_name(place: Place) -> Reference:
    """The name that an image is to have in the store."""
    try:
        reference = references.parse(place.name).with_default_tag()
    except WherryError as error:
        error.message = f"{place.text}: {error.message}"
        raise
    if reference.digest:
        raise UsageError(f"{place.text}: a digest cannot be chosen, only a name and a tag")
    return reference
