"""Which image of the store a FROM means."""

from __future__ import annotations

import pytest

from wherry.base.errors import NotFound
from wherry.base.events import ignore
from wherry.build.bases import SHORTEST_ID, Bases
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.store.images import Image
from wherry.store.store import Store

HERE = platforms.host()


class Offline(Bases):
    """Tells what a registry would be asked for."""

    def _fetch(self, written: str, reference: Reference, platform: Platform) -> Image:
        raise NotFound(f"asked for {reference.familiar}")


def test_a_name_or_an_id_of_twelve_digits_at_least(store: Store) -> None:
    """`FROM cafe` must not be whatever image of this store has an ID that begins so."""
    image = store.images.put(ImageConfig(HERE).encode())
    store.images.tag(references.parse("app"), image)
    digits = digests.hex_of(image)
    for name in ("app", "app:latest", image, digits, digits[:SHORTEST_ID]):
        assert Bases(store, False, ignore).find(name, None, HERE).id == image
    assert store.images.resolve(digits[:3]) is not None
    with pytest.raises(NotFound, match=f"asked for {digits[:11]}"):
        Offline(store, False, ignore).find(digits[: SHORTEST_ID - 1], None, HERE)
