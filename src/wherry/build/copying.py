"""COPY and ADD, planned: the operation that an instruction means.

`--link` is accepted and changes nothing here. It asks for a layer that holds nothing but what is copied, so
that it outlives changes below it; every layer of ours is so made, and equal ones are the same in the store.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from wherry.base.errors import Unsupported
from wherry.build import legible
from wherry.build.step import Copy
from wherry.dockerfile import instructions as ins
from wherry.dockerfile import modes
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns


class Tree(NamedTuple):
    """What `from=` means: the step of a stage or image, or a context (its name; "" is the main one)."""

    label: str
    step: int | None = None
    context: str = ""


def copy(instruction: ins.Copy, folder: str) -> Copy:
    """The operation of a COPY in the working folder `folder`, from the main context."""
    for source in instruction.sources:
        if _is_remote(source):
            raise DockerfileError(f"COPY cannot fetch {legible.redacted(source)!r}")
    return _local(instruction, folder)._replace(parents=instruction.parents)


def add(instruction: ins.Add, folder: str) -> Copy:
    """The operation of an ADD. Local archives are unpacked."""
    for source in instruction.sources:
        if _is_remote(source):
            raise Unsupported(
                f"ADD of a remote source ({legible.redacted(source)}) is not supported by this version",
                hint="fetch it in a RUN, or before the build",
            )
    for flag, given in (("checksum", instruction.checksum), ("keep-git-dir", instruction.keep_git_dir)):
        if given:
            raise Unsupported(f"ADD --{flag} is not supported by this version: it is about remote sources")
    return _local(instruction, folder)._replace(unpack=instruction.unpack is not False)


def _local(instruction: ins.Copy | ins.Add, folder: str) -> Copy:
    target = instruction.target
    several = len(instruction.sources) + len(instruction.files) > 1
    if several and not target.endswith("/") and posixpath.basename(target) != ".":
        raise DockerfileError(
            "with more than one source the destination must be a folder and end with a /",
            hint=f"write {target}/",
        )
    absolute = posixpath.join("/", folder, target)
    clean = re.sub("^/+", "/", posixpath.normpath(absolute))
    is_folder = target.endswith("/") or posixpath.basename(target) in ("", ".", "..")
    if instruction.chmod:
        modes.parse(instruction.chmod)
    if instruction.excludes:
        Patterns(instruction.excludes)
    return Copy(
        patterns=instruction.sources,
        target=clean.rstrip("/") + "/" if is_folder else clean,
        owner=instruction.chown,
        mode=instruction.chmod,
        inline=tuple((file.name, file.content) for file in instruction.files),
        excludes=instruction.excludes,
    )


def _is_remote(source: str) -> bool:
    if "://" not in source and "@" not in source:
        return False
    from wherry.build.remote import address

    return address.is_url(source) or address.repository(source) is not None
