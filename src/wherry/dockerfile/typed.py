"""From syntax to typed instructions: every flag and argument checked, errors with their place and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable

from wherry.base.errors import Location
from wherry.base.tuples import NamedTuple
from wherry.dockerfile import flags, instructions, mounts, values
from wherry.dockerfile.errors import DockerfileError, WordError, did_you_mean
from wherry.dockerfile.heredocs import Heredoc, opener
from wherry.dockerfile.instructions import Argument, InlineFile, Instruction, Stage
from wherry.dockerfile.lexer import SPACE
from wherry.dockerfile.parser import KEYWORDS, Dockerfile, Node, parse

_STAGE_NAME = r"[a-z][a-z0-9-_.]*"
_ONBUILD = rf"(?i)[{SPACE}]*ONBUILD[{SPACE}]*"
SHORTEST_INTERVAL = 1_000_000  # nanoseconds


class Program(NamedTuple):
    """A whole Dockerfile: the ARGs before the first FROM, and the stages."""

    arguments: tuple[instructions.Arg, ...]
    stages: tuple[Stage, ...]


def typed(dockerfile: Dockerfile) -> tuple[Instruction, ...]:
    """All instructions in order. Raises DockerfileError at the first that is wrong."""
    return tuple(_located(dockerfile, node) for node in dockerfile.instructions)


def program(dockerfile: Dockerfile) -> Program:
    """The file's stages. Raises DockerfileError, also where something other than ARG precedes FROM."""
    arguments: list[instructions.Arg] = []
    stages: list[tuple[instructions.From, list[Instruction]]] = []
    for instruction in typed(dockerfile):
        if isinstance(instruction, instructions.From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, instructions.Arg):
            arguments.append(instruction)
        else:
            error = DockerfileError(
                "no build stage in current context", hint="begin with FROM; only ARG may stand before it"
            )
            raise dockerfile.located(error, instruction.location)
    if not stages:
        error = DockerfileError("dockerfile contains no stages to build", hint="begin with FROM IMAGE")
        raise dockerfile.located(error, Location(dockerfile.file, 1, 1))
    return Program(tuple(arguments), tuple(Stage(base, tuple(rest)) for base, rest in stages))


def trigger(expression: str, file: str = "ONBUILD") -> Instruction:
    """The instruction of one ONBUILD trigger, as an image config keeps it."""
    dockerfile = parse(expression, file)
    if len(dockerfile.instructions) != 1 or "\0" in expression:
        error = DockerfileError("onbuild trigger should be a single expression")
        raise dockerfile.located(error, Location(file, 1, 1))
    node = dockerfile.instructions[0]
    _check_trigger(node)
    return _located(dockerfile, node)


def _located(dockerfile: Dockerfile, node: Node) -> Instruction:
    where = dockerfile.location(node)
    try:
        return _instruction(node, where)
    except DockerfileError as error:
        raise dockerfile.located(error, where) from None


def _instruction(node: Node, where: Location) -> Instruction:
    make = _MAKERS.get(node.keyword)
    if make is None:
        raise _unknown(node.keyword)
    return make(node, where)


def _unknown(keyword: str) -> DockerfileError:
    if not keyword:
        return DockerfileError("a line continuation with nothing to continue", hint="remove the line")
    hint = did_you_mean(keyword, KEYWORDS)
    if not hint and keyword.endswith(("EOF", "EOT")):
        hint = "a heredoc needs << right before its name: RUN <<EOF"
    return DockerfileError(f"unknown instruction: {keyword}", hint=hint)


def _from(node: Node, where: Location) -> instructions.From:
    given = flags.read(node.flags, texts=("platform",))
    if len(node.args) == 1:
        return instructions.From(where, node.original, node.args[0], platform=given.text("platform"))
    if len(node.args) != 3 or node.args[1].lower() != "as":
        hint = "write FROM IMAGE AS NAME" if len(node.args) > 1 else "write FROM IMAGE"
        raise DockerfileError("FROM requires either one or three arguments", hint=hint)
    name = node.args[2].lower()
    if not re.fullmatch(_STAGE_NAME, name):
        raise DockerfileError(
            f"invalid name for build stage: {node.args[2]!r}, "
            "name can't start with a number or contain symbols",
            hint="a letter, then letters, digits, and any of - _ .",
        )
    comment = _comment(node, name)
    return instructions.From(where, node.original, node.args[0], name, given.text("platform"), comment)


def _arg(node: Node, where: Location) -> instructions.Arg:
    flags.read(node.flags)
    arguments = []
    for word in _some(node):
        name, equals, default = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank")
        arguments.append(Argument(name, default if equals else None, _comment(node, name)))
    return instructions.Arg(where, node.original, tuple(arguments))


def _comment(node: Node, name: str) -> str:
    """The comment above an instruction that begins with `name`: `# NAME what it is for`."""
    for comment in node.comments:
        if comment.startswith(f"{name} "):
            return comment.removeprefix(f"{name} ")
    return ""


def _pairs(node: Node) -> tuple[tuple[tuple[str, str], ...], bool]:
    flags.read(node.flags)
    if not node.pairs:
        raise DockerfileError(f"{node.keyword} requires at least one argument")
    if not all(pair.name for pair in node.pairs):
        raise DockerfileError(f"{node.keyword} names can not be blank")
    return tuple((pair.name, pair.value) for pair in node.pairs), node.pairs[0].legacy


def _env(node: Node, where: Location) -> instructions.Env:
    return instructions.Env(where, node.original, *_pairs(node))


def _label(node: Node, where: Location) -> instructions.Label:
    return instructions.Label(where, node.original, *_pairs(node))


def _run(node: Node, where: Location) -> instructions.Run:
    given = flags.read(node.flags, texts=("network", "security"), repeated=("mount", "device"))
    return instructions.Run(
        where,
        node.original,
        node.args,
        node.form == "shell",
        node.heredocs,
        mounts=tuple(mounts.mount(text) for text in given.texts("mount")),
        network=_choice(given.text("network", "default"), "network mode", ("default", "none", "host")),
        security=_choice(given.text("security", "sandbox"), "security", ("sandbox", "insecure")),
        devices=tuple(mounts.device(text) for text in given.texts("device")),
    )


def _choice(value: str, what: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        hint = did_you_mean(value, choices) or f"one of {', '.join(choices)}"
        raise DockerfileError(f"invalid {what} {value!r}", hint=hint)
    return value


def _copy(node: Node, where: Location) -> instructions.Copy:
    given = flags.read(
        node.flags,
        texts=("from", "chown", "chmod"),
        repeated=("exclude",),
        booleans=("link", "parents"),
    )
    origin = given.text("from")
    if "$" in origin.rstrip("$"):
        raise DockerfileError(
            "variable expansion is not supported for --from",
            hint=f"define a stage with a global ARG, FROM {origin} AS NAME, and copy --from=NAME",
        )
    sources, files, target = _sources(node)
    return instructions.Copy(
        where,
        node.original,
        sources,
        target,
        files,
        origin=origin,
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=given.boolean("link") or False,
        parents=given.boolean("parents") or False,
        excludes=given.texts("exclude"),
    )


def _add(node: Node, where: Location) -> instructions.Add:
    given = flags.read(
        node.flags,
        texts=("chown", "chmod", "checksum"),
        repeated=("exclude",),
        booleans=("link", "keep-git-dir", "unpack"),
    )
    sources, files, target = _sources(node)
    return instructions.Add(
        where,
        node.original,
        sources,
        target,
        files,
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=given.boolean("link") or False,
        excludes=given.texts("exclude"),
        checksum=given.text("checksum"),
        keep_git_dir=given.boolean("keep-git-dir") or False,
        unpack=given.boolean("unpack"),
    )


def _sources(node: Node) -> tuple[tuple[str, ...], tuple[InlineFile, ...], str]:
    """Paths, inline files and target of COPY or ADD."""
    if len(node.args) < 2:
        raise DockerfileError(
            f"{node.keyword} requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
            hint=f"write {node.keyword} SOURCE... TARGET",
        )
    *words, target = node.args
    docs = {doc.name: doc for doc in node.heredocs}  # of two with one name the frontend takes the last
    if _opened(target, docs):
        raise DockerfileError(f"{node.keyword} cannot accept a heredoc as a destination")
    sources: list[str] = []
    files: list[InlineFile] = []
    for word in words:
        doc = _opened(word, docs)
        if doc:
            files.append(InlineFile(doc.name, doc.text(), doc.expand))
        elif word == "<<" and node.heredocs:
            raise DockerfileError(
                f"{node.keyword} takes no blanks between << and the name of a heredoc",
                hint=f"write <<{node.heredocs[0].name}",
            )
        else:
            sources.append(word)
    return tuple(sources), tuple(files), target


def _opened(word: str, docs: dict[str, Heredoc]) -> Heredoc | None:
    """Which of the instruction's heredocs `word` opens."""
    if not docs or "<<" not in word:
        return None
    try:
        found = opener(word)
    except WordError:
        return None
    return docs.get(found.name) if found else None


def _cmd(node: Node, where: Location) -> instructions.Cmd:
    flags.read(node.flags)
    return instructions.Cmd(where, node.original, node.args, node.form == "shell")


def _entrypoint(node: Node, where: Location) -> instructions.Entrypoint:
    flags.read(node.flags)
    return instructions.Entrypoint(where, node.original, node.args, node.form == "shell")


def _shell(node: Node, where: Location) -> instructions.Shell:
    flags.read(node.flags)
    command = _some(node)
    if node.form != "exec":
        raise DockerfileError(
            "SHELL requires the arguments to be in JSON form", hint='write SHELL ["/bin/bash", "-c"]'
        )
    return instructions.Shell(where, node.original, command)


def _workdir(node: Node, where: Location) -> instructions.Workdir:
    return instructions.Workdir(where, node.original, _one(node))


def _user(node: Node, where: Location) -> instructions.User:
    return instructions.User(where, node.original, _one(node))


def _stop_signal(node: Node, where: Location) -> instructions.StopSignal:
    return instructions.StopSignal(where, node.original, _one(node))


def _maintainer(node: Node, where: Location) -> instructions.Maintainer:
    return instructions.Maintainer(where, node.original, _one(node))


def _expose(node: Node, where: Location) -> instructions.Expose:
    flags.read(node.flags)
    return instructions.Expose(where, node.original, tuple(sorted(_some(node))))


def _volume(node: Node, where: Location) -> instructions.Volume:
    flags.read(node.flags)
    paths = tuple(path.strip(SPACE) for path in _some(node))
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return instructions.Volume(where, node.original, paths)


def _healthcheck(node: Node, where: Location) -> instructions.Healthcheck:
    given = flags.read(node.flags, texts=("interval", "timeout", "start-period", "start-interval", "retries"))
    kind, *command = _some(node)
    if kind.upper() == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return instructions.Healthcheck(where, node.original, ("NONE",))
    if kind.upper() != "CMD":
        raise DockerfileError(f"unknown type {kind!r} in HEALTHCHECK", hint="write HEALTHCHECK CMD COMMAND")
    if not command:
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    return instructions.Healthcheck(
        where,
        node.original,
        ("CMD" if node.form == "exec" else "CMD-SHELL", *command),
        interval=_interval(given, "interval"),
        timeout=_interval(given, "timeout"),
        start_period=_interval(given, "start-period"),
        start_interval=_interval(given, "start-interval"),
        retries=_retries(given.text("retries")),
    )


def _interval(given: flags.Flags, name: str) -> int:
    text = given.text(name)
    found = values.duration(text) if text else 0
    if found and found < SHORTEST_INTERVAL:
        raise DockerfileError(f"--{name}={text} cannot be less than 1ms")
    return found


def _retries(text: str) -> int:
    digits = text.removeprefix("+").removeprefix("-")
    found = values.number(digits) if digits else 0
    if found is None or found >= 1 << 31 or (text and not digits):
        raise DockerfileError(f"--retries={text} is no number")
    if text.startswith("-") and found:
        raise DockerfileError(f"--retries cannot be negative ({text})")
    return found


def _onbuild(node: Node, where: Location) -> instructions.Onbuild:
    flags.read(node.flags)
    if node.nested is None:
        raise DockerfileError("ONBUILD requires at least one argument")
    _check_trigger(node.nested)
    expression = re.sub(_ONBUILD, "", node.original, count=1)
    expression += "".join(f"\n{doc.content}{doc.name}" for doc in node.heredocs)
    return instructions.Onbuild(where, node.original, expression, _instruction(node.nested, where))


def _check_trigger(node: Node) -> None:
    if node.keyword == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if node.keyword in ("MAINTAINER", "FROM"):
        raise DockerfileError(f"{node.keyword} isn't allowed as an ONBUILD trigger")


def _one(node: Node) -> str:
    if len(node.args) != 1:
        raise DockerfileError(f"{node.keyword} requires exactly one argument")
    flags.read(node.flags)
    return node.args[0]


def _some(node: Node) -> tuple[str, ...]:
    if not node.args:
        raise DockerfileError(f"{node.keyword} requires at least one argument")
    return node.args


_MAKERS: dict[str, Callable[[Node, Location], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
