"""COPY and ADD, planned: the operation that an instruction means.

`--link` is accepted and changes nothing here. It asks for a layer that holds nothing but what is copied, so
that it outlives changes below it; every layer of ours is so made, and equal ones are the same in the store.
"""

from __future__ import annotations

import posixpath
import re

from wherry.base.tuples import NamedTuple
from wherry.build import legible
from wherry.build.step import Copy, Remote
from wherry.dockerfile import instructions as ins
from wherry.dockerfile import modes
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns
from wherry.oci import digest as digests


class Tree(NamedTuple):
    """What `from=` means: the step of a stage or image, or a context (its name; "" is the main one)."""

    label: str
    step: int | None = None
    context: str = ""


def copy(instruction: ins.Copy, folder: str) -> Copy:
    """The operation of a COPY in the working folder `folder`, from the main context."""
    for source in instruction.sources:
        if _is_remote(source):
            raise DockerfileError(f"COPY cannot fetch {legible.redacted(source)!r}", hint="ADD can")
    return _local(instruction, folder)._replace(parents=instruction.parents)


def add(instruction: ins.Add, folder: str) -> Copy:
    """The operation of an ADD. Local archives are unpacked, those from a URL only where it says so."""
    remotes = tuple(_remote(source, instruction) for source in instruction.sources if _is_remote(source))
    if instruction.checksum and (len(instruction.sources) != 1 or not remotes):
        raise DockerfileError("ADD --checksum is for one source, a URL or a git repository")
    operation = _local(instruction, folder)
    return operation._replace(unpack=instruction.unpack is not False, remotes=remotes)


def _remote(source: str, instruction: ins.Add) -> Remote:
    from wherry.build.remote import address

    repository = address.repository(source)
    if repository is None:
        if instruction.checksum and not digests.is_digest(instruction.checksum):
            raise DockerfileError(
                f"{instruction.checksum!r} is not a checksum of a file",
                hint="write sha256: and 64 hex digits",
            )
        return Remote(source, checksum=instruction.checksum, unpack=bool(instruction.unpack))
    given, written = instruction.checksum, repository.checksum
    if given and written and given != written:
        raise DockerfileError(f"two checksums for one repository: {given} and {written}")
    if instruction.keep_git_dir and repository.keep_git_dir is False:
        raise DockerfileError("--keep-git-dir, and keep-git-dir=false in the URL of the repository")
    keep = instruction.keep_git_dir or bool(repository.keep_git_dir)
    return Remote(source, is_git=True, checksum=given or written, keep_git_dir=keep)


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
    if source.startswith("file://"):
        raise DockerfileError(
            f"{source!r} is a file of this machine, which a Dockerfile cannot name",
            hint="name a path in the build context, or give its folder with --build-context",
        )
    if "://" not in source and "@" not in source:
        return False
    from wherry.build.remote import address

    return address.is_url(source) or address.repository(source) is not None
