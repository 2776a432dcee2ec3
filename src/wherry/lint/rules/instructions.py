"""Single instructions: their forms, and what of them is never used."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from wherry.base.errors import Location
from wherry.dockerfile import instructions as ins
from wherry.lint.rule import WARNING, Mark, Rule, quoted
from wherry.lint.rules.naming import keyword
from wherry.lint.subject import Stage, Subject


def _empty_continuation(subject: Subject) -> Iterator[Mark]:
    """One for each instruction, at its last line before heredocs, where the frontend puts it."""
    blank = set(subject.dockerfile.blank_continuations)
    if not blank:
        return
    for node in subject.dockerfile.instructions:
        heredocs = sum(doc.content.count("\n") + 1 for doc in node.heredocs)
        if not blank.isdisjoint(range(node.start_line, node.end_line + 1)):
            line = node.end_line - heredocs
            yield Mark(Location(subject.dockerfile.file, line, line), "Empty continuation line")


def _maintainer(subject: Subject) -> Iterator[Mark]:
    for node in subject.dockerfile.instructions:
        if node.keyword == "MAINTAINER":
            message = "Maintainer instruction is deprecated in favor of using label"
            yield Mark(subject.location(node), message)


def _legacy_pairs(subject: Subject) -> Iterator[Mark]:
    for step in subject.steps():
        if isinstance(step.written, ins.Env | ins.Label) and step.written.legacy:
            word = keyword(step.node)
            message = f'"{word} key=value" should be used instead of legacy "{word} key value" format'
            yield Mark(step.where, message)


def _json_arguments(subject: Subject) -> Iterator[Mark]:
    for step in subject.steps():
        instruction = step.instruction
        if isinstance(instruction, ins.Cmd | ins.Entrypoint) and instruction.shell and not step.shell:
            message = f"JSON arguments recommended for {keyword(step.node)}"
            yield Mark(step.where, f"{message} to prevent unintended behavior related to OS signals")


def _repeated(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        last: dict[type, Location] = {}
        for step in stage.steps:
            kind = type(step.instruction)
            if kind not in (ins.Cmd, ins.Entrypoint, ins.Healthcheck):
                continue
            if kind in last:
                message = f"Multiple {keyword(step.node)} instructions should not be used in the same stage"
                yield Mark(last[kind], f"{message} because only the last one will be used")
            last[kind] = step.where


def _relative_workdir(subject: Subject) -> Iterator[Mark]:
    """The first WORKDIR of a chain of stages alone: the others are right when it is."""
    for stage in subject.stages:
        if stage.parent >= 0 and subject.stages[stage.parent].workdir_is_set:
            continue
        yield from _first_workdir(stage)


def _first_workdir(stage: Stage) -> Iterator[Mark]:
    for step in stage.steps:
        if isinstance(step.instruction, ins.Workdir):
            path = step.instruction.path
            if not path.startswith("/"):
                message = f"Relative workdir {quoted(path)} can have unexpected results"
                yield Mark(step.where, f"{message} if the base image changes")
            return


def _ignored_source(subject: Subject) -> Iterator[Mark]:
    ignored = subject.surroundings.ignored
    if ignored is None or ignored.keeps_any():
        return  # what a `!pattern` keeps below a folder cannot be told from the patterns alone
    for step in subject.steps():
        verb = "Add" if isinstance(step.instruction, ins.Add) else "Copy"
        for source in context_sources(step.instruction):
            path = posixpath.normpath(source)
            # The root itself is never excluded; that nothing is left of it, a name of no meaning tells.
            probe = path.lstrip("/") if path not in (".", "/") else "\ufffd"
            if not is_remote(source) and ignored.excludes(probe):
                message = f"Attempting to {verb} file {quoted(path)} that is excluded by .dockerignore"
                yield Mark(step.where, message)


def context_sources(instruction: ins.Instruction) -> tuple[str, ...]:
    """What a COPY or ADD takes from the build context; URLs of ADD included."""
    if isinstance(instruction, ins.Add) or (isinstance(instruction, ins.Copy) and not instruction.origin):
        return instruction.sources
    return ()


def takes_whole_context(instruction: ins.Instruction) -> bool:
    return any(source.rstrip("/") in ("", ".") for source in context_sources(instruction))


def is_remote(source: str) -> bool:
    """Whether ADD would fetch it: a URL, or git over SSH."""
    return re.match(r"[a-z]+://|git@", source) is not None


def _protocol_casing(subject: Subject) -> Iterator[Mark]:
    for where, port in _ports(subject):
        protocol = port.rpartition(":")[2].partition("/")[2]
        if protocol != protocol.lower():
            yield Mark(where, f"Defined protocol '{port}' in EXPOSE instruction should be lowercase")


def _port_format(subject: Subject) -> Iterator[Mark]:
    for where, port in _ports(subject):
        if port.rpartition(":")[0].strip(":"):
            message = "EXPOSE instruction should not define an IP address or host-port mapping"
            yield Mark(where, f"{message}, found '{port}'")


def _ports(subject: Subject) -> Iterator[tuple[Location, str]]:
    for step in subject.steps():
        if isinstance(step.instruction, ins.Expose):
            for port in step.instruction.ports:
                yield step.where, port


RULES = (
    Rule(
        "NoEmptyContinuation",
        WARNING,
        "Empty continuation lines will become errors in a future release",
        "remove the blank line inside the instruction, or make it a comment",
        _empty_continuation,
        "FROM alpine\nEXPOSE \\\n\n80\n",
        "FROM alpine\nEXPOSE \\\n# the web server\n80\n",
    ),
    Rule(
        "JSONArgsRecommended",
        WARNING,
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
        'write CMD ["program", "argument"]: in shell form a shell gets the signals, not the program',
        _json_arguments,
        "FROM alpine\nCMD my-server --port 80\n",
        'FROM alpine\nCMD ["my-server", "--port", "80"]\n',
    ),
    Rule(
        "MaintainerDeprecated",
        WARNING,
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        'write LABEL org.opencontainers.image.authors="..."',
        _maintainer,
        "FROM alpine\nMAINTAINER someone@example.org\n",
        'FROM alpine\nLABEL org.opencontainers.image.authors="someone@example.org"\n',
    ),
    Rule(
        "WorkdirRelativePath",
        WARNING,
        "Relative workdir without an absolute workdir declared within the build can have unexpected results "
        "if the base image changes",
        "begin with an absolute WORKDIR",
        _relative_workdir,
        "FROM nginx\nWORKDIR usr/share/nginx/html\n",
        "FROM nginx\nWORKDIR /usr/share/nginx/html\n",
    ),
    Rule(
        "MultipleInstructionsDisallowed",
        WARNING,
        "Multiple instructions of the same type should not be used in the same stage",
        "remove all but the last",
        _repeated,
        'FROM alpine\nCMD ["echo", "first"]\nCMD ["echo", "second"]\n',
        'FROM alpine\nCMD ["echo", "second"]\n',
    ),
    Rule(
        "LegacyKeyValueFormat",
        WARNING,
        "Legacy key/value format with whitespace separator should not be used",
        'write NAME="VALUE"',
        _legacy_pairs,
        "FROM alpine\nENV GREETING hello world\n",
        'FROM alpine\nENV GREETING="hello world"\n',
    ),
    Rule(
        "CopyIgnoredFile",
        WARNING,
        "Attempting to Copy file that is excluded by .dockerignore",
        "copy something else, or take the pattern out of the ignore file",
        _ignored_source,
        "FROM scratch\nCOPY ./tmp/hello.txt /hello.txt\n",
        "FROM scratch\nCOPY ./forever/hello.txt /hello.txt\n",
        files=((".dockerignore", "*/tmp\ntmp/*\n"),),
    ),
    Rule(
        "ExposeProtoCasing",
        WARNING,
        "Protocol in EXPOSE instruction should be lowercase",
        "write EXPOSE 80/tcp",
        _protocol_casing,
        "FROM alpine\nEXPOSE 80/TcP\n",
        "FROM alpine\nEXPOSE 80/tcp\n",
    ),
    Rule(
        "ExposeInvalidFormat",
        WARNING,
        "IP address and host-port mapping should not be used in EXPOSE instruction. "
        "This will become an error in a future release",
        "name the container's port alone; addresses and host ports are given to `run -p`",
        _port_format,
        "FROM alpine\nEXPOSE 127.0.0.1:80:80\n",
        "FROM alpine\nEXPOSE 80\n",
    ),
)
