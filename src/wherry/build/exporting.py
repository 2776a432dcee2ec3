"""The end of a build: its images in the store, under their names, and wherever else `-o` wants them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.base.events import Done, Emit, Output, Started
from wherry.base.tuples import NamedTuple
from wherry.build import plan as planning
from wherry.build.options import Options
from wherry.build.plan import Plan
from wherry.build.solve import Outcome
from wherry.build.times import Times
from wherry.oci import digest as digests
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.carry.export import Exports
    from wherry.oci.descriptor import Descriptor


class Made(NamedTuple):
    """An image that is to be entered: `own` of its layers, the highest, are not its base's."""

    config: ImageConfig
    own: int


class Exported(NamedTuple):
    """See `build.Built`."""

    image: Digest
    images: tuple[Digest, ...]
    top: Descriptor | None = None


def check(options: Options, given_times: Times) -> None:
    """A mistake in `-o` and the like is told before the work, not behind it."""
    if not _is_plain(options):
        from wherry.build import outputs

        outputs.check(options, given_times)


def images(
    store: Store,
    plan: Plan,
    outcomes: Sequence[Outcome],
    options: Options,
    epoch: int,
    carried: Exports | None,
) -> list[Made]:
    """One for each platform, with the cache in it that `carried` has for it."""
    made = []
    for aim in plan.aims:
        config = planning.config_of(aim, outcomes, options.labels, epoch)
        below = len(aim.base.diff_ids) if aim.base else 0
        if options.squash:
            from wherry.image.squash import squash
            from wherry.runtime import modes

            modes.enter_as_user()
            config = squash(store, config, below)
        if carried:
            config = carried.inlined(config)
        made.append(Made(config, len(config.diff_ids) - below))
    return made


def export(
    store: Store, made: Sequence[Made], options: Options, given_times: Times, vertex: int, emit: Emit
) -> Exported:
    """Enter the images, write what `-o` asks for, and name them last of all."""
    began = time.monotonic()
    emit(Started(vertex, "exporting to image", began))
    entered = [_enter(store, each.config) for each in made]
    found = tuple(image for image, _ in entered)
    for image, each in zip(found, made, strict=True):
        platform = f" for {each.config.platform}" if len(made) > 1 else ""
        _say(f"writing image {image}{platform}", vertex, emit)
    if _is_plain(options):
        exported = Exported(found[0], found)
        for tag in options.tags:
            if not store.images.means(tag, found[0]):
                store.images.tag(tag, found[0])
            _say(f"naming to {tag}", vertex, emit)
    else:
        from wherry.build import outputs

        new = [image for image, is_new in entered if is_new]
        written = outputs.write(store, made, found, new, options, given_times, emit, vertex)
        exported = Exported(written.result.primary, written.result.images, written.top)
    emit(Done(vertex, time.monotonic() - began))
    return exported


def _is_plain(options: Options) -> bool:
    """Whether it is one image that goes into the store, with nothing said of it but its names."""
    return not options.outputs and not options.annotations and len(options.platforms) < 2


def _enter(store: Store, config: ImageConfig) -> tuple[Digest, bool]:
    """The image's ID, and whether the store did not have it."""
    raw = config.encode()
    image = digests.of(raw)
    if store.images.has(image):
        return image, False
    store.images.put(raw)
    return image, True


def _say(line: str, vertex: int, emit: Emit) -> None:
    emit(Output(vertex, 1, f"{line}\n".encode(), time.monotonic()))
