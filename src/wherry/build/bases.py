"""The images that a build stands on: found in the store, pulled when they are not there."""

from __future__ import annotations

from collections.abc import Callable

from wherry.base.errors import Location, WherryError
from wherry.base.events import Emit, vertex
from wherry.oci import reference as references
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.store.images import Image
from wherry.store.store import Store

LAYOUT = "oci-layout://"

SHORTEST_ID = 12
"""Digits of an ID that FROM may say: what is shorter is the name of an image, whatever the store has."""


class Bases:
    """Images by the name in a Dockerfile; each name means one image for the whole of a build."""

    def __init__(self, store: Store, pull: bool, emit: Emit, tls_verify: bool | None = None) -> None:
        self._store = store
        self._pull = pull
        self._emit = emit
        self._tls_verify = tls_verify
        self.found: dict[tuple[str, Platform], Image] = {}
        """What each name meant so far."""

    def find(self, name: str, where: Location | None, platform: Platform) -> Image:
        """The image called `name`. Errors say where in the Dockerfile it was asked for."""
        return self._once(name, where, platform, self._resolve)

    def find_in_layout(self, text: str, where: Location | None, platform: Platform) -> Image:
        """The image that `oci-layout://FOLDER[:TAG][@DIGEST]` means, of a folder of this machine."""
        return self._once(text, where, platform, self._load)

    def _once(
        self,
        name: str,
        where: Location | None,
        platform: Platform,
        resolve: Callable[[str, Platform], Image],
    ) -> Image:
        key = (name, platform)
        if key not in self.found:
            try:
                self.found[key] = resolve(name, platform)
            except WherryError as error:
                error.where = error.where or where
                raise
        return self.found[key]

    def _load(self, text: str, platform: Platform) -> Image:
        from wherry.oci import match
        from wherry.output import layoutimage

        image = layoutimage.image(self._store, layoutimage.place(text.removeprefix(LAYOUT)), platform)
        if match.best([image.config.platform], platform) is None:
            raise WherryError(f"{text} is for {image.config.platform}, not for {platform}")
        return image

    def _resolve(self, name: str, platform: Platform) -> Image:
        images = self._store.images
        image = None if self._pull else images.resolve(name, SHORTEST_ID, platform)
        if image is not None:
            return image
        other = None if self._pull else images.resolve(name, SHORTEST_ID)
        reference = references.parse(name).with_default_tag()
        if other is not None and not images.is_in(reference.name, other.id):
            index = images.index_of(name)
            has = index.platforms if index else [str(other.config.platform)]
            raise _for_another(name, has, platform)
        try:
            return self._fetch(name, reference, platform)
        except WherryError as error:
            raise _explained(error, reference) from None

    def _fetch(self, written: str, reference: Reference, platform: Platform) -> Image:
        from wherry.registry import access
        from wherry.registry.pull import pull

        way = access.load(self._tls_verify, written)

        with vertex(self._emit, 0, f"[internal] pull {reference.familiar}"):
            return pull(self._store, reference, platform, self._emit, 0, access=way)


def _for_another(name: str, has: list[str], platform: Platform) -> WherryError:
    return WherryError(
        f"the image {name} in the store is for {', '.join(has)}, not for {platform}",
        hint="build with --pull to fetch the right one",
    )


def _explained(error: WherryError, reference: Reference) -> WherryError:
    error.message = f"cannot get the base image {error.message}"
    error.hint = error.hint or f"without a registry, `wherry bootstrap {reference.familiar}` makes some bases"
    return error
