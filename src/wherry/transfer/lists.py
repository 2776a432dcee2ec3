"""Lists of images that are to become an index: `wherry manifest create` begins one, `manifest push` ends it.

    lists/<sha256 of the name>.json     {"name", "items": [{"source", "entry"}]}

An item is an entry of the index that will be, as JSON, and the place where what it names is to be had.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.base.locks import locked
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.oci import reference as references
from wherry.oci.descriptor import decode, encode
from wherry.oci.reference import Reference
from wherry.registry.client import Document
from wherry.store.store import Store

Entry = dict[str, Any]


class Item(NamedTuple):
    """`source`: the words of a place. `entry`: a descriptor with its platform."""

    source: str
    entry: Entry


class ImageList(NamedTuple):
    name: Reference
    items: tuple[Item, ...] = ()

    def as_index(self) -> Document:
        """The index as it will be pushed: docker's form where all that it names is docker's, else OCI's."""
        entries = [item.entry for item in self.items]
        docker = all(
            entry["mediaType"] == media.DOCKER_MANIFEST and "annotations" not in entry for entry in entries
        )
        kind = media.DOCKER_LIST if docker and entries else media.INDEX
        raw = encode({"schemaVersion": 2, "mediaType": kind, "manifests": entries})
        return Document(raw, kind, digests.of(raw))


class Lists:
    """The lists of a store."""

    def __init__(self, store: Store) -> None:
        self._folder = store.path("lists")

    def find(self, name: Reference) -> ImageList | None:
        try:
            with open(self._path(name), "rb") as file:
                document = decode(file.read())
            items = tuple(Item(item["source"], item["entry"]) for item in document["items"])
            return ImageList(references.parse(document["name"]), items)
        except FileNotFoundError:
            return None
        except (OSError, Corrupt, KeyError, TypeError) as error:
            raise WherryError(f"cannot read the list {name.familiar}: {error}") from None

    def get(self, name: Reference) -> ImageList:
        found = self.find(name)
        if found is None:
            raise NotFound(
                f"there is no list {name.familiar}",
                hint=f"make it: `wherry manifest create {name.familiar} IMAGE...`",
            )
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Between reading a list and writing it, so that nobody's change gets lost."""
        with _writing():
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with locked(self._folder):
            yield

    def put(self, found: ImageList) -> None:
        document = {
            "name": str(found.name),
            "items": [{"source": item.source, "entry": item.entry} for item in found.items],
        }
        path = self._path(found.name)
        with _writing():
            with open(f"{path}.new", "wb") as file:
                file.write(encode(document))
            os.rename(f"{path}.new", path)

    def delete(self, name: Reference) -> None:
        self.get(name)
        with _writing():
            os.unlink(self._path(name))

    def _path(self, name: Reference) -> str:
        return f"{self._folder}/{digests.hex_of(digests.of(str(name).encode()))}.json"


def joined(old: Sequence[Item], new: Sequence[Item]) -> tuple[Item, ...]:
    """`old` with `new` behind them; one that is there already is replaced where it stands."""
    found = {item.entry["digest"]: item for item in old}
    found.update({item.entry["digest"]: item for item in new})
    return tuple(found.values())


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WherryError(f"cannot write to the store: {error.strerror}") from None
