"""Archives as docker wrote them before version 1.10 (2016): a chain of layers, each with a description.

    repositories          {NAME: {TAG: ID}}; missing where an image was saved by its ID
    <ID>/json             what is known of the layer, and of an image that ends with it; its `parent`
    <ID>/layer.tar        its files
    <ID>/VERSION          1.0

IDs are made up and prove nothing. The config is made of the descriptions, as docker does when it loads one
(its image specification v1, and `image/v1` in its source).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from wherry.base.errors import Corrupt
from wherry.layer.compress import decompressed
from wherry.layer.source import limits
from wherry.oci import digest as digests
from wherry.oci.descriptor import decode, encode
from wherry.oci.digest import Digest
from wherry.output.members import Member, Members

_DESCRIPTION = re.compile(r"([0-9a-f]{64})/json")
_OF_A_LAYER = ("id", "parent", "parent_id", "layer_id", "Size", "throwaway")
"""Fields of a description that say nothing of the image."""
_MAX_LAYERS = 1000
_BLOCK = 1 << 20

Names = dict[str, list[str]]
"""By ID, as `NAME:TAG`."""


def is_legacy(members: Members) -> bool:
    return members.has("repositories") or any(map(_DESCRIPTION.fullmatch, members.names()))


def images(members: Members) -> list[tuple[Member, tuple[Member, ...], list[str]]]:
    """Of each image its config, its layers from the lowest on, and its names."""
    described = {
        match[1]: decode(members.document(name))
        for name in members.names()
        if (match := _DESCRIPTION.fullmatch(name))
    }
    names = _names(members)
    parents = {str(document.get("parent")) for document in described.values()}
    tops = [*names, *(layer for layer in described if layer not in parents and layer not in names)]
    if not tops:
        why = "every layer is said to stand on another" if described else "it describes no layer"
        raise Corrupt(f"the archive has no image: {why}")
    known: dict[str, Digest] = {}
    return [_image(members, described, top, names.get(top, []), known) for top in tops]


def _image(
    members: Members,
    described: dict[str, dict[str, Any]],
    top: str,
    names: list[str],
    known: dict[str, Digest],
) -> tuple[Member, tuple[Member, ...], list[str]]:
    chain = _chain(described, top)
    layers = tuple(members.find(f"{layer}/layer.tar") for layer in chain)
    for layer, member in zip(chain, layers, strict=True):
        if layer not in known:
            known[layer] = _diff_id(member)
    document = {key: value for key, value in described[top].items() if key not in _OF_A_LAYER}
    document["rootfs"] = {"type": "layers", "diff_ids": [known[layer] for layer in chain]}
    document["history"] = [_history(described[layer]) for layer in chain]
    return members.make(encode(dict(sorted(document.items())))), layers, names


def _chain(described: dict[str, dict[str, Any]], top: str) -> list[str]:
    """The layers that `top` stands on and itself, the lowest first."""
    chain: list[str] = []
    layer: object = top
    while layer or not chain:
        if not isinstance(layer, str) or layer not in described:
            raise Corrupt(f"the archive has no layer {str(layer)[:100]!r}, which it speaks of")
        if len(chain) == _MAX_LAYERS:
            raise Corrupt(f"an image of the archive has more than {_MAX_LAYERS} layers, or stands on itself")
        chain.append(layer)
        layer = described[layer].get("parent")
    return chain[::-1]


def _diff_id(member: Member) -> Digest:
    """The digest of a layer's stream: docker wrote it uncompressed, others may not have."""
    digest, left = hashlib.sha256(), limits().stream
    with open(member.path, "rb") as file, decompressed(file) as stream:
        while data := stream.read(_BLOCK):
            digest.update(data)
            left -= len(data)
            if left < 0:
                raise Corrupt(f"a layer's stream has more than {limits().stream} bytes")
    return digests.from_hex(digest.hexdigest())


def _history(document: dict[str, Any]) -> dict[str, Any]:
    made_by = document.get("container_config") or {}
    words = made_by.get("Cmd") if isinstance(made_by, dict) else None
    if words is not None and not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise Corrupt("a layer's description has a command that is no list of strings")
    fields = {
        "created": document.get("created"),
        "author": document.get("author"),
        "created_by": " ".join(words or ()),
        "comment": document.get("comment"),
    }
    return {key: value for key, value in fields.items() if value}


def _names(members: Members) -> Names:
    if not members.has("repositories"):
        return {}
    try:
        repositories = json.loads(members.document("repositories"))
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"repositories is not JSON: {str(error)[:100]}") from None
    names: Names = {}
    wrong = Corrupt("repositories does not name images: it should be {NAME: {TAG: ID}}")
    if not isinstance(repositories, dict):
        raise wrong
    for repository, tags in repositories.items():
        if not isinstance(tags, dict):
            raise wrong
        for tag, layer in tags.items():
            if not isinstance(layer, str):
                raise wrong
            names.setdefault(layer, []).append(f"{repository}:{tag}")
    return names
