"""`-o`: a build's words about its outputs, and its result, handed to those who write them."""

from __future__ import annotations

from wherry.base.events import Emit
from wherry.build.options import Options
from wherry.build.times import Times
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.output import export as exports
from wherry.output import spec as specs
from wherry.output.export import Exported
from wherry.output.result import Part, Result
from wherry.store.store import Store


def check(options: Options, platform: Platform, times: Times) -> None:
    """A mistake in `-o` is told before the work, not behind it."""
    planned = Result((Part(platform, Digest("")),), options.tags, epoch=_given(times))
    exports.check(planned, tuple(map(specs.parse, options.outputs)))


def write(
    store: Store,
    config: ImageConfig,
    image: Digest,
    own: int,
    options: Options,
    times: Times,
    emit: Emit,
    vertex: int,
) -> Exported:
    """Write the image, of whose layers the highest `own` were built, to all places of `-o`, and name it where
    the store is one of them. Where it is not, and knew no such image before, the caller forgets it."""
    from wherry.runtime import modes

    modes.enter_as_user()
    part = Part(config.platform, image, own=own)
    result = Result((part,), options.tags, epoch=_given(times))
    chosen = tuple(map(specs.parse, options.outputs))
    return exports.export(store, result, chosen, emit, vertex, tls_verify=options.tls_verify)


def _given(times: Times) -> int | None:
    return times.epoch if times.is_given else None
