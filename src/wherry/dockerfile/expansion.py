"""Which fields of which instructions expand, in one place."""

from __future__ import annotations

from typing import TypeVar, cast

from wherry.dockerfile import mounts
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.instructions import (
    Add,
    Copy,
    Env,
    Expose,
    From,
    InlineFile,
    Instruction,
    Label,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from wherry.dockerfile.words import Lookup, expand, expand_heredoc, expand_words

_Some = TypeVar("_Some", bound=Instruction)


def expanded(instruction: _Some, lookup: Lookup, escape: str = "\\") -> _Some:
    """The instruction with its expanding fields replaced. Raises DockerfileError with its place.

    ARG stays as it is: each default expands only where no build argument is given, and sees the names
    before it, so the scope that knows them expands it. CMD, ENTRYPOINT, SHELL, HEALTHCHECK, ONBUILD,
    MAINTAINER and the command of RUN never expand.
    """
    try:
        return cast(_Some, _expanded(instruction, lookup, escape))
    except DockerfileError as error:
        if error.where is None:
            error.where = instruction.location
        raise


def _expanded(instruction: Instruction, lookup: Lookup, escape: str) -> Instruction:
    def one(word: str) -> str:
        return expand(word, lookup, escape)

    def pairs(found: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((one(name), one(value)) for name, value in found)

    match instruction:
        case From():
            return instruction._replace(image=one(instruction.image), platform=one(instruction.platform))
        case Env():
            return instruction._replace(pairs=pairs(instruction.pairs))
        case Label():
            return instruction._replace(pairs=pairs(instruction.pairs))
        case Run():
            return instruction._replace(mounts=tuple(mounts.expanded(m, one) for m in instruction.mounts))
        case Copy():
            return instruction._replace(
                sources=tuple(map(one, instruction.sources)),
                target=one(instruction.target),
                files=_files(instruction.files, lookup),
                chown=one(instruction.chown),
                chmod=one(instruction.chmod),
            )
        case Add():
            return instruction._replace(
                sources=tuple(map(one, instruction.sources)),
                target=one(instruction.target),
                files=_files(instruction.files, lookup),
                chown=one(instruction.chown),
                chmod=one(instruction.chmod),
                checksum=one(instruction.checksum),
            )
        case Workdir():
            return instruction._replace(path=one(instruction.path))
        case User():
            return instruction._replace(user=one(instruction.user))
        case Expose():
            words = (expand_words(port, lookup, escape) for port in instruction.ports)
            return instruction._replace(ports=tuple(word for found in words for word in found))
        case Volume():
            return instruction._replace(paths=tuple(map(one, instruction.paths)))
        case StopSignal():
            return instruction._replace(signal=one(instruction.signal))
        case _:
            return instruction


def _files(files: tuple[InlineFile, ...], lookup: Lookup) -> tuple[InlineFile, ...]:
    return tuple(
        file._replace(content=expand_heredoc(file.content, lookup)) if file.expand else file for file in files
    )
