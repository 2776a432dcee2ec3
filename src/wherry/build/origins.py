"""What FROM, and `from=` of COPY and of mounts, mean where that is no stage: an image, or a named context."""

from __future__ import annotations

from collections.abc import Callable

from wherry.base.errors import Location
from wherry.base.tuples import NamedTuple
from wherry.build.scope import Arguments
from wherry.oci.platform import Platform
from wherry.store.images import Image

FindImage = Callable[[str, Location | None, Platform], Image]
LoadImage = Callable[[Location | None, Platform], Image]


class Named(NamedTuple):
    """A named context: `image` loads it, or it is a tree of files. "scratch" is the empty image."""

    name: str
    image: LoadImage | None = None


FindContext = Callable[[str, Platform], Named | None]


def no_context(_name: str, _platform: Platform) -> None:
    """The `find_context` of a build that has none."""


class Wanted(NamedTuple):
    """What planning is given beside the Dockerfile. `target` is a stage's name or number, "" the last one.

    `find_context` gives the named context that stands for a stage or an image of that name;
    `uncached_stages` are names or numbers of stages. `is_one_of_several`: the platform is, so it is shown.
    """

    target: str
    platform: Platform
    arguments: Arguments
    find_image: FindImage
    find_context: FindContext = no_context
    uncached_stages: tuple[str, ...] = ()
    is_one_of_several: bool = False


class Origin(NamedTuple):
    """An image, a context, or (neither) nothing."""

    label: str
    image: Image | None = None
    context: str = ""


def find(name: str, where: Location, platform: Platform, wanted: Wanted) -> Origin:
    """What is called `name` and is no stage."""
    if name == "scratch":
        return Origin("scratch")
    context = wanted.find_context(name, platform)
    if context is not None:
        return of_context(context, where, platform)
    return Origin(f"image {name!r}", wanted.find_image(name, where, platform))


def of_context(context: Named, where: Location, platform: Platform) -> Origin:
    label = f"context {context.name!r}"
    if context.image is not None:
        return Origin(label, context.image(where, platform))
    return Origin(label) if context.name == "scratch" else Origin(label, context=context.name)
