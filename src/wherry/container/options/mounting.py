"""What is mounted in a container, and by which right: the user's mounts, others' containers', the image's."""

from __future__ import annotations

import os
from collections.abc import Sequence

from wherry.base.errors import UsageError, WherryError
from wherry.base.tuples import NamedTuple


class Volume(NamedTuple):
    """One mount: `kind` is "bind" (`source` is an absolute host path), "volume" (its name) or "tmpfs".

    `copy`: a volume that is empty gets what the image has at `target`. An anonymous volume goes with its
    container; its name is chosen when the container is created. `recursive`: with the mounts below a bind's
    source; `must_exist`: that source is not made. `subpath`: what is mounted of a volume; it must be there.
    `options` are a tmpfs's, in mount(8)'s words. `labels` are for a volume that is made for this.
    """

    kind: str
    source: str
    target: str
    read_only: bool = False
    copy: bool = True
    anonymous: bool = False
    recursive: bool = True
    must_exist: bool = False
    subpath: str = ""
    options: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


class Inheritance(NamedTuple):
    """`--volumes-from`: the mounts of another container; with `read_only` none of them can be written."""

    container: str
    read_only: bool = False


def resolve(
    wanted: Sequence[Volume], inherited: Sequence[Volume], declared: Sequence[str]
) -> tuple[Volume, ...]:
    """The user's mounts, those inherited, and an anonymous volume for each VOLUME of the image; at each place
    the first of these.

    Parents come before what is mounted below them. Anonymous volumes get their names (64 hex digits) here.
    """
    chosen = {volume.target: volume for volume in (*inherited, *wanted)}
    paths = dict.fromkeys("/" + os.path.normpath(path).strip("/") for path in declared)
    added = [Volume("volume", "", path, anonymous=True) for path in paths if path not in {*chosen, "/"}]
    named = [
        volume if volume.source or not volume.anonymous else volume._replace(source=os.urandom(32).hex())
        for volume in (*chosen.values(), *added)
    ]
    return tuple(sorted(named, key=lambda volume: volume.target.count("/")))


def inherit(mounts: Sequence[Volume], read_only: bool) -> list[Volume]:
    """What `--volumes-from` brings of a container that has `mounts`: all but what lies in memory alone."""
    return [
        volume._replace(read_only=volume.read_only or read_only, copy=False)
        for volume in mounts
        if volume.kind != "tmpfs"
    ]


def names(mounts: Sequence[Volume]) -> set[str]:
    """The volumes among the mounts."""
    return {volume.source for volume in mounts if volume.kind == "volume"}


def check(wanted: Sequence[Volume]) -> None:
    """WherryError for a source that is not there, UsageError for two mounts at one place."""
    for volume in wanted:
        check_source(volume)
    targets = [volume.target for volume in wanted]
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"duplicate mount point: {target}")


def check_source(volume: Volume) -> None:
    """WherryError where the source of a bind mount has to be there and is not."""
    if volume.must_exist and not os.path.exists(volume.source):
        raise WherryError(
            f"the source of a bind mount does not exist: {volume.source}",
            hint=f"make it first, or write -v {volume.source}:{volume.target}, which makes a folder",
        )
