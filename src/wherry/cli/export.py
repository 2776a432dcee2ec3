"""`wherry export`: the files of a container, or of an image, as one tar archive."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from wherry.base.errors import NotFound
from wherry.oci import platform as platforms
from wherry.runtime import modes
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.snapshot.view import View


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="write to a file, not to stdout")
    parser.add_argument("--platform", metavar="OS/ARCH", help="of an image: the platform to choose")
    parser.add_argument("name", metavar="CONTAINER|IMAGE")


def run(args: argparse.Namespace) -> int:
    from wherry.output.rootfs import Placed, write_tar
    from wherry.output.target import target

    with (
        Store.open() as store,
        store.lease(),
        _view(store, args.name, args.platform) as view,
        target(args.output) as sink,
    ):
        write_tar([Placed(view)], sink)
        sink.finish()
    return 0


@contextmanager
def _view(store: Store, name: str, platform: str | None) -> Iterator[View]:
    """Of the container of that name, else of the image: docker has containers alone."""
    from wherry.container import events
    from wherry.container.changes import ownership
    from wherry.container.containers import Containers
    from wherry.layer.layers import Layers
    from wherry.oci.digest import Digest
    from wherry.snapshot.kept import kept_view
    from wherry.snapshot.view import View

    layers = Layers(store)
    try:
        container = Containers(store.root).find(name)
    except NotFound:
        wanted = platforms.parse(platform) if platform else None
        if store.images.resolve(name) is None:
            raise NotFound(
                f"no such container or image: {name}",
                hint="`wherry ps -a` and `wherry images` list what is here",
            ) from None
        modes.enter_as_user()
        yield View(layers, store.images.find(name, wanted).config.diff_ids)
        return
    modes.enter(container.spec.isolation)  # it says how changes are written down
    diff_ids = store.images.get(Digest(container.spec.image)).config.diff_ids
    owners = partial(ownership, container)
    with kept_view(layers, diff_ids, container.folder.file("root"), owners) as view:
        yield view
    events.record(container.folder, container.spec, "export")
