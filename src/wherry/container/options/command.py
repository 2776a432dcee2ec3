"""What a container executes: an image's ENTRYPOINT and CMD, and what the command line says instead."""

from __future__ import annotations

from wherry.base.errors import UsageError
from wherry.oci.config import Execution


def combine(image: Execution, entrypoint: str | None, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The process's arguments, as docker's Dockerfile reference has it ("how CMD and ENTRYPOINT interact").

    `entrypoint` is `--entrypoint`: None where it was not given, "" to have none. When it is given, the
    image's CMD does not count, because it was written for the image's own ENTRYPOINT. The shell form is in
    the image as `/bin/sh -c TEXT`, so it needs no rule here.
    """
    whole = first(image, entrypoint) + (arguments or (image.cmd if entrypoint is None else None) or ())
    if not whole:
        raise UsageError(
            "no command specified: the image has neither ENTRYPOINT nor CMD",
            hint="write the command behind the image's name",
        )
    return whole


def first(image: Execution, entrypoint: str | None) -> tuple[str, ...]:
    """Those of the process's arguments that are its entrypoint."""
    if entrypoint is None:
        return image.entrypoint or ()
    return (entrypoint,) if entrypoint else ()
