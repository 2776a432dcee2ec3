"""What a build made, as the exporters take it: an image, or one for each of several platforms."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple
from wherry.oci import match
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform, host
from wherry.oci.reference import Reference
from wherry.store.images import Image
from wherry.store.store import Store

Pairs = tuple[tuple[str, str], ...]


class Part(NamedTuple):
    """The image of one platform. `annotations` are its manifest's; `described` those of the entry that names
    it in an index. `own`: how many of its layers the build made, the highest; the others are its base's."""

    platform: Platform
    image: Digest
    annotations: Pairs = ()
    described: Pairs = ()
    own: int = 0


class Result(NamedTuple):
    """`names` are those of `-t`. `annotations` are the index's, where `is_index` says that there is one, and
    `described` those of what names it in a layout.

    `epoch`: SOURCE_DATE_EPOCH, None where the user has set none.
    """

    parts: tuple[Part, ...]
    names: tuple[Reference, ...] = ()
    is_index: bool = False
    annotations: Pairs = ()
    described: Pairs = ()
    epoch: int | None = None

    @property
    def images(self) -> tuple[Digest, ...]:
        return tuple(part.image for part in self.parts)

    @property
    def primary(self) -> Digest:
        """The image that is meant where no platform is asked for: this machine's, else the first."""
        number = match.best([part.platform for part in self.parts], host())
        return self.parts[number or 0].image


def built(store: Store, part: Part) -> Image:
    """The image as the build made it: a manifest that the store has of it says nothing about this one."""
    return store.images.get(part.image)._replace(manifest=None)
