"""What goes elsewhere than into the store, or is more than one plain image: handed to those who write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.base.events import Emit
from wherry.build.options import Options
from wherry.build.times import Times
from wherry.oci.digest import Digest
from wherry.output import annotations as annotating
from wherry.output import export as exports
from wherry.output import spec as specs
from wherry.output.export import Exported
from wherry.output.result import Part, Result
from wherry.output.spec import Spec
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.exporting import Made


def check(options: Options, times: Times) -> None:
    """A mistake in `-o` or `--annotation` is told before the work, not behind it."""
    planned = tuple(Part(platform, Digest("")) for platform in options.wanted)
    exports.check(_result(planned, options, times), _outputs(options))


def write(
    store: Store,
    made: Sequence[Made],
    images: Sequence[Digest],
    new: Sequence[Digest],
    options: Options,
    times: Times,
    emit: Emit,
    vertex: int,
) -> Exported:
    """Write the images to all places of `-o`, and name them where the store is one of them. It forgets those
    that are `new` to it where it is not; their layers stay for the next build."""
    from wherry.runtime import modes

    modes.enter_as_user()
    parts = tuple(
        Part(each.config.platform, image, own=each.own) for each, image in zip(made, images, strict=True)
    )
    result = _result(parts, options, times)
    written: Exported | None = None
    try:
        written = exports.export(
            store, result, _outputs(options), emit, vertex, tls_verify=options.tls_verify
        )
        return written
    finally:
        for image in new:
            if not (written and written.stores(image)):
                store.images.delete(image)


def _result(parts: tuple[Part, ...], options: Options, times: Times) -> Result:
    epoch = times.epoch if times.is_given else None
    result = Result(parts, options.tags, is_index=len(parts) > 1, epoch=epoch)
    return annotating.applied(result, options.annotations)


def _outputs(options: Options) -> tuple[Spec, ...]:
    """The store, where nothing else is said."""
    return tuple(map(specs.parse, options.outputs or ("type=image",)))
