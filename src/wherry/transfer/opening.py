"""From words to places that can be copied from and to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from wherry.base.errors import NotFound, UsageError
from wherry.base.events import Emit, ignore
from wherry.oci import platform as platforms_of
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.output.layoutimage import Layout
from wherry.registry import access
from wherry.registry.client import Client
from wherry.registry.transport import Retries
from wherry.store.store import Store
from wherry.transfer import places
from wherry.transfer.content import Source, Target
from wherry.transfer.copy import copy
from wherry.transfer.places import Place
from wherry.transfer.trees import is_index


def default_platforms(source: Source, target: Place) -> list[Platform]:
    """What is copied where the user chose nothing: all platforms, and this machine's where one has room."""
    if target.kind != places.DOCKER_ARCHIVE or not is_index(source):
        return []
    return [platforms_of.host()]


def copy_image(
    source: str,
    target: str,
    platforms: Sequence[Platform] = (),
    referrers: bool = False,
    emit: Emit = ignore,
    tls_verify: bool | None = None,
) -> Digest:
    """Copy between two places, as `wherry copy` is given them; the digest of what is at the target then."""
    one, other = places.parse(source), places.parse(target)
    with Opening(tls_verify, emit) as opening:
        return copy(opening.source(one), opening.target(other, one), platforms, referrers, emit)


def _layout(place: Place) -> Layout:
    if os.path.isdir(place.path):
        return Layout(place.path)
    hint = f"a layout in a tar is named oci-archive:{place.path}" if os.path.exists(place.path) else ""
    raise NotFound(f"there is no folder {place.path}", hint=hint)


class Opening:
    """The places of one command, closed together at the end of a `with` block.

    Where that ends with an error nothing appears at a target. The store is opened when it is needed.
    """

    def __init__(
        self, tls_verify: bool | None = None, emit: Emit = ignore, retries: Retries | None = None
    ) -> None:
        self._tls_verify = tls_verify
        self._emit = emit
        self._retries = retries
        self._stack = ExitStack()
        self._store: Store | None = None

    def source(self, place: Place) -> Source:
        if place.kind == places.REGISTRY:
            from wherry.transfer.registries import RegistrySource

            assert place.reference is not None
            return RegistrySource(self.client(place.reference, written=place.text))
        if place.kind == places.STORE:
            from wherry.transfer.stores import StoreSource

            return StoreSource(self.store(), place)
        from wherry.transfer.layouts import LayoutSource

        if place.kind == places.LAYOUT:
            return LayoutSource(_layout(place), place)
        return self._archive(place)

    def target(self, place: Place, source: Place) -> Target:
        """`source`: where it is copied from, which may lie in the same registry."""
        if place.kind == places.REGISTRY:
            return self._registry_target(place, source)
        if place.kind == places.STORE:
            from wherry.transfer.stores import StoreTarget

            return StoreTarget(self.store(), place, source.reference)
        if place.kind == places.LAYOUT:
            from wherry.transfer.layouts import layout_target

            return self._stack.enter_context(layout_target(place))
        from wherry.transfer.archives import archive_target

        return self._stack.enter_context(archive_target(place))

    def store(self) -> Store:
        """The store, held against `prune`."""
        if self._store is None:
            from wherry.runtime import modes

            self._store = self._stack.enter_context(Store.open())
            modes.enter_as_user()
            self._stack.enter_context(self._store.lease())
        return self._store

    def _registry_target(self, place: Place, source: Place) -> Target:
        from wherry.transfer.registries import RegistryTarget

        assert place.reference is not None
        reference, near = place.reference.with_default_tag(), source.reference
        mounted = ""
        if near and near.registry == reference.registry and near.repository != reference.repository:
            mounted = near.repository
        return RegistryTarget(self.client(reference, True, mounted), mounted)

    def client(
        self, reference: Reference, push: bool = False, mounted: str = "", written: str = ""
    ) -> Client:
        """The client of a registry, with its default tag. `written`: as the user wrote the name."""
        way = access.load(self._tls_verify, "" if "://" in written else written)
        client = Client(
            reference.with_default_tag(),
            push,
            [mounted] if mounted else [],
            way._replace(retries=self._retries),
            emit=self._emit,
        )
        return self._stack.enter_context(client)

    def _archive(self, place: Place) -> Source:
        from wherry.transfer.archives import TarLayout
        from wherry.transfer.dockerarchives import DockerArchiveSource
        from wherry.transfer.layouts import LayoutSource
        from wherry.transfer.tarfiles import tar_files

        if place.path != places.STDIO and not os.path.exists(place.path):
            raise NotFound(f"there is no file {place.path}")
        if os.path.isdir(place.path):
            raise UsageError(
                f"{place.path} is a folder", hint=f"a layout in a folder is named oci:{place.path}"
            )
        files = tar_files(place.path, place.text, self._scratch)
        if place.kind == places.DOCKER_ARCHIVE:
            return DockerArchiveSource(files, place, self._scratch)
        return LayoutSource(TarLayout(files, place.text), place)

    def _scratch(self) -> str:
        """A folder of the store for what cannot be read where it lies."""
        return self._stack.enter_context(self.store().scratch("copy"))

    def __enter__(self) -> Opening:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
