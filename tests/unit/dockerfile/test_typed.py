"""Typed instructions: what flags and arguments become, what expands, and what is refused, with its hint."""

from __future__ import annotations

import re

import pytest

from wherry.base.errors import Location
from wherry.dockerfile import instructions as ins
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.expansion import expanded
from wherry.dockerfile.instructions import Argument, InlineFile, Instruction, Script
from wherry.dockerfile.mounts import Device, Mount
from wherry.dockerfile.parser import parse
from wherry.dockerfile.typed import program, trigger, typed

WHERE = Location("Dockerfile", 1, 1)


def one(text: str) -> Instruction:
    """The typed form of a single instruction, its place and text put aside."""
    (found,) = typed(parse(text))
    return found._replace(location=WHERE, original="")


TYPED: list[tuple[str, Instruction]] = [
    ("FROM a", ins.From(WHERE, "", "a")),
    ("FROM a:1 AS Build.1-x_y", ins.From(WHERE, "", "a:1", "build.1-x_y")),
    ("from --platform=$BUILDPLATFORM a as b", ins.From(WHERE, "", "a", "b", "$BUILDPLATFORM")),
    ("# b builds it\nFROM a AS b", ins.From(WHERE, "", "a", "b", comment="builds it")),
    ("ARG a", ins.Arg(WHERE, "", (Argument("a"),))),
    ("ARG a= b='c d' e", ins.Arg(WHERE, "", (Argument("a", ""), Argument("b", "'c d'"), Argument("e")))),
    (
        "# a is this\n# b is that\nARG a b=1",
        ins.Arg(WHERE, "", (Argument("a", None, "is this"), Argument("b", "1", "is that"))),
    ),
    ('ENV a=b c="d e"', ins.Env(WHERE, "", (("a", "b"), ("c", '"d e"')))),
    ("ENV a b c", ins.Env(WHERE, "", (("a", "b c"),), legacy=True)),
    ("LABEL a=b", ins.Label(WHERE, "", (("a", "b"),))),
    ("RUN a b", ins.Run(WHERE, "", ("a b",), shell=True)),
    ('RUN ["a", "b"]', ins.Run(WHERE, "", ("a", "b"), shell=False)),
    ("RUN", ins.Run(WHERE, "", (), shell=True)),
    (
        "RUN --network=none --security=insecure x",
        ins.Run(WHERE, "", ("x",), True, network="none", security="insecure"),
    ),
    (
        "RUN --device=vendor.com/gpu=all,required --device=name=d,required=false x",
        ins.Run(WHERE, "", ("x",), True, devices=(Device("vendor.com/gpu=all", True), Device("d"))),
    ),
    ("COPY a b /c/", ins.Copy(WHERE, "", ("a", "b"), "/c/")),
    (
        "COPY --from=0 --chown=1:2 --chmod=u+x --link --parents --exclude=a --exclude=b x y",
        ins.Copy(WHERE, "", ("x",), "y", (), "0", "1:2", "u+x", True, True, ("a", "b")),
    ),
    ("COPY --link=false --parents=TRUE x y", ins.Copy(WHERE, "", ("x",), "y", parents=True)),
    (
        "COPY <<a x <<-'b' /y\n1\na\n\t2\nb\n",
        ins.Copy(WHERE, "", ("x",), "/y", (InlineFile("a", "1\n", True), InlineFile("b", "2\n", False))),
    ),
    ('COPY ["<<a", "/y"]', ins.Copy(WHERE, "", ("<<a",), "/y")),
    ("ADD a b", ins.Add(WHERE, "", ("a",), "b")),
    (
        "ADD --chown=a --chmod=1 --link --exclude=e --checksum=sha256:x --keep-git-dir --unpack=false x y",
        ins.Add(WHERE, "", ("x",), "y", (), "a", "1", True, ("e",), "sha256:x", True, False),
    ),
    ("ADD --unpack x y", ins.Add(WHERE, "", ("x",), "y", unpack=True)),
    ("CMD a b", ins.Cmd(WHERE, "", ("a b",), shell=True)),
    ("CMD []", ins.Cmd(WHERE, "", (), shell=False)),
    ('ENTRYPOINT ["a"]', ins.Entrypoint(WHERE, "", ("a",), shell=False)),
    ('SHELL ["/bin/bash", "-c"]', ins.Shell(WHERE, "", ("/bin/bash", "-c"))),
    ("WORKDIR /a b", ins.Workdir(WHERE, "", "/a b")),
    ("USER a:b", ins.User(WHERE, "", "a:b")),
    ("EXPOSE 90 80/udp $p", ins.Expose(WHERE, "", ("$p", "80/udp", "90"))),
    ('VOLUME ["/a", " /b "]', ins.Volume(WHERE, "", ("/a", "/b"))),
    ("STOPSIGNAL 9", ins.StopSignal(WHERE, "", "9")),
    ("HEALTHCHECK NONE", ins.Healthcheck(WHERE, "", ("NONE",))),
    ("HEALTHCHECK CMD a b", ins.Healthcheck(WHERE, "", ("CMD-SHELL", "a b"))),
    (
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=500ms --retries=3 "
        'cmd ["a"]',
        ins.Healthcheck(WHERE, "", ("CMD", "a"), 90 * 10**9, 1_500_000_000, 0, 500_000_000, 3),
    ),
    ("MAINTAINER a <b>", ins.Maintainer(WHERE, "", "a <b>")),
    ("ONBUILD RUN  x", ins.Onbuild(WHERE, "", "RUN  x", ins.Run(WHERE, "RUN  x", ("x",), True))),
]


@pytest.mark.parametrize(("text", "instruction"), TYPED, ids=[text for text, _ in TYPED])
def test_typed(text: str, instruction: Instruction) -> None:
    found = one(text)
    if isinstance(found, ins.Onbuild):
        found = found._replace(trigger=found.trigger._replace(location=WHERE))
    assert found == instruction


WRONG = [
    ("COPPY a b", "unknown instruction: COPPY", "did you mean COPY?"),
    ("form a", "unknown instruction: FORM", "did you mean FROM?"),
    ("FOO a", "unknown instruction: FOO", ""),
    ("\\\n", "a line continuation with nothing to continue", "remove the line"),
    ("x" * 1000, "unknown instruction: XXX", ""),
    ("FROM", "FROM requires either one or three arguments", "write FROM IMAGE"),
    ("FROM a b", "FROM requires either one or three arguments", "write FROM IMAGE AS NAME"),
    ("FROM a IS b", "FROM requires either one or three arguments", "write FROM IMAGE AS NAME"),
    ("FROM a AS 1b", "invalid name for build stage: '1b'", "a letter"),
    ("FROM a AS b/c", "invalid name for build stage: 'b/c'", "a letter"),
    ("FROM --platfrom=x a", "unknown flag: --platfrom", "did you mean --platform?"),
    ("FROM --platform a", "missing a value on flag: --platform", "--platform=VALUE"),
    ("FROM --platform=a --platform=b c", "duplicate flag specified: --platform", ""),
    ("ARG", "ARG requires at least one argument", ""),
    ("ARG =b", "ARG names can not be blank", ""),
    ("ARG --x a", "unknown flag: --x", "takes no flags"),
    ("ENV", "ENV requires at least one argument", ""),
    ("ENV =b", "ENV names can not be blank", ""),
    ("LABEL a=b =c", "LABEL names can not be blank", ""),
    ("COPY a", "COPY requires at least two arguments", "write COPY SOURCE... TARGET"),
    ("ADD", "ADD requires at least two arguments", "write ADD SOURCE... TARGET"),
    ("COPY --from=$x a b", "variable expansion is not supported for --from", "FROM $x AS NAME"),
    ("COPY --form=x a b", "unknown flag: --form", "did you mean --from?"),
    ("COPY --From=x a b", "unknown flag: --From", "did you mean --from?"),
    ("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe", ""),
    ("COPY --link= a b", "missing a value on flag: --link", "--link=false"),
    ("COPY --checksum=x a b", "unknown flag: --checksum", "this instruction takes --from"),
    ("ADD --from=x a b", "unknown flag: --from", "this instruction takes"),
    ("COPY a <<EOF\nx\nEOF", "COPY cannot accept a heredoc as a destination", ""),
    ("COPY << EOF /x\nx\nEOF", "takes no blanks between << and the name", "write <<EOF"),
    ("RUN --network=bridge x", "invalid network mode 'bridge'", "one of default, none, host"),
    ("RUN --network=hots x", "invalid network mode 'hots'", "did you mean host?"),
    ("RUN --security=none x", "invalid security 'none'", "one of sandbox, insecure"),
    ("RUN --mount=type=cach x", "unsupported mount type 'cach'", "did you mean cache?"),
    ("CMD --x y", "unknown flag: --x", "takes no flags"),
    ("SHELL /bin/sh", "SHELL requires the arguments to be in JSON form", 'SHELL ["/bin/bash", "-c"]'),
    ("SHELL []", "SHELL requires at least one argument", ""),
    ("WORKDIR", "WORKDIR requires exactly one argument", ""),
    ("USER", "USER requires exactly one argument", ""),
    ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument", ""),
    ("MAINTAINER", "MAINTAINER requires exactly one argument", ""),
    ("MAINTAINER --boo joe", "unknown flag: --boo", ""),
    ("EXPOSE", "EXPOSE requires at least one argument", ""),
    ("VOLUME", "VOLUME requires at least one argument", ""),
    ('VOLUME ["", "a"]', "VOLUME specified can not be an empty string", ""),
    ("HEALTHCHECK", "HEALTHCHECK requires at least one argument", ""),
    ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments", ""),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD", ""),
    ("HEALTHCHECK curl x", "unknown type 'curl' in HEALTHCHECK", "write HEALTHCHECK CMD COMMAND"),
    ("HEALTHCHECK --interval=1 CMD x", "invalid duration '1'", "30s"),
    ("HEALTHCHECK --interval=1us CMD x", "--interval=1us cannot be less than 1ms", ""),
    ("HEALTHCHECK --timeout=-1s CMD x", "--timeout=-1s cannot be less than 1ms", ""),
    ("HEALTHCHECK --retries=x CMD x", "--retries=x is no number", ""),
    ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)", ""),
    ("HEALTHCHECK --inteval=1s CMD x", "unknown flag: --inteval", "did you mean --interval?"),
    ("ONBUILD", "ONBUILD requires at least one argument", ""),
    ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", ""),
    ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger", ""),
    ("ONBUILD maintainer a", "MAINTAINER isn't allowed as an ONBUILD trigger", ""),
    ("ONBUILD COPY a", "COPY requires at least two arguments", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), WRONG, ids=[text[:40] for text, *_ in WRONG])
def test_wrong_instructions_are_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(DockerfileError, match=re.escape(message)) as error:
        typed(parse(f"FROM a\n\n{text}\n", "x.Dockerfile"))
    assert str(error.value.where) == "x.Dockerfile:3"
    assert ">>> " in error.value.excerpt
    assert hint in error.value.hint


SCRIPTS = [
    ("RUN a b", Script("a b")),
    ("RUN", Script("")),
    ("RUN <<EOF\na\nb\nEOF", Script("a\nb\n")),
    ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF", Script("a\nb\n")),
    ("RUN <<'EOF'\n$a\nEOF", Script("$a\n")),
    ("RUN <<x\n#!/bin/env python\nprint()\nx", Script("/dev/pipes/x", "x", "#!/bin/env python\nprint()\n")),
    ("RUN <<-x\n\t#!/bin/sh\nx", Script("/dev/pipes/x", "x", "#!/bin/sh\n")),
    ("RUN python3 <<EOF\nx\nEOF", Script("python3 <<EOF\nx\nEOF")),
    ("RUN <<EOF cat\n#!x\nEOF", Script("<<EOF cat\n#!x\nEOF")),
    ("RUN <<A <<B\na\nA\nb\nB", Script("<<A <<B\na\nA\nb\nB")),
    ("RUN cat <<-'A'\n\ta\n\tA", Script("cat <<-'A'\n\ta\nA")),
]


@pytest.mark.parametrize(("text", "script"), SCRIPTS)
def test_what_the_shell_is_given(text: str, script: Script) -> None:
    found = one(text)
    assert isinstance(found, ins.Run)
    assert found.script() == script


LOOKUP = {"x": "X", "two": "a b", "port": "80 90/udp", "q": "'q'", "type": "cache"}.get


def field(text: str, name: str) -> object:
    return getattr(expanded(one(text), LOOKUP), name)


FIELDS = [
    ("FROM --platform=$x a:${x}", "image", "a:X"),
    ("FROM --platform=$x a:${x}", "platform", "X"),
    ("ENV $x=$x b=\"$two\" c=$q d='$x'", "pairs", (("X", "X"), ("b", "a b"), ("c", "'q'"), ("d", "$x"))),
    ('ENV a $two  "$x"', "pairs", (("a", "a b  X"),)),
    ("LABEL $x=$two", "pairs", (("X", "a b"),)),
    ("COPY --chown=$x:1 --chmod=$x --exclude=$x $x a$x $x/", "sources", ("X", "aX")),
    ("COPY --chown=$x:1 --chmod=$x --exclude=$x $x a$x $x/", "target", "X/"),
    ("COPY --chown=$x:1 --chmod=$x --exclude=$x $x a$x $x/", "chown", "X:1"),
    ("COPY --chown=$x:1 --chmod=$x --exclude=$x $x a$x $x/", "chmod", "X"),
    ("COPY --chown=$x:1 --chmod=$x --exclude=$x $x a$x $x/", "excludes", ("$x",)),
    (
        "COPY <<$x <<'b' /\n'$x'\n$x\n$x\nb\n",
        "files",
        (InlineFile("$x", "'X'\n", True), InlineFile("b", "$x\n", False)),
    ),
    ('COPY ["$x y", "/$x"]', "sources", ("X y",)),
    ("ADD --checksum=$x --chown=$x --chmod=$x $x /$x", "checksum", "X"),
    ("ADD --checksum=$x --chown=$x --chmod=$x $x /$x", "sources", ("X",)),
    ("ADD --checksum=$x --chown=$x --chmod=$x $x /$x", "target", "/X"),
    ("ADD --checksum=$x --chown=$x --chmod=$x $x /$x", "chown", "X"),
    ("ADD --checksum=$x --chown=$x --chmod=$x $x /$x", "chmod", "X"),
    ("WORKDIR /$x/'a b'", "path", "/X/a b"),
    ("USER $x:${x}", "user", "X:X"),
    ("EXPOSE $port 1 $none", "ports", ("80", "90/udp", "1")),
    ("VOLUME /$x $two", "paths", ("/X", "a b")),
    ("STOPSIGNAL $x", "signal", "X"),
    ("RUN --mount=type=$type,target=/$x $x", "mounts", (Mount("cache", target="/X", read_only=False),)),
    ("RUN --mount=type=$type,target=/$x $x", "command", ("$x",)),
    ("CMD $x", "command", ("$x",)),
    ('ENTRYPOINT ["$x"]', "command", ("$x",)),
    ('SHELL ["$x"]', "command", ("$x",)),
    ("HEALTHCHECK CMD $x", "test", ("CMD-SHELL", "$x")),
    ("MAINTAINER $x", "name", "$x"),
    ("ONBUILD RUN $x", "expression", "RUN $x"),
    ("ARG $x=$x", "arguments", (Argument("$x", "$x"),)),
]


@pytest.mark.parametrize(("text", "name", "value"), FIELDS)
def test_what_expands_and_what_does_not(text: str, name: str, value: object) -> None:
    assert field(text, name) == value


def test_a_word_that_cannot_be_expanded_is_named_with_its_place() -> None:
    (_, found) = typed(parse("FROM a\nCOPY ${x:?missing} /y\n"))
    with pytest.raises(DockerfileError, match="x: missing") as error:
        expanded(found, lambda _: None)
    assert str(error.value.where) == "Dockerfile:2"


def test_the_escape_directive_holds_for_expansion() -> None:
    dockerfile = parse("# escape=`\nFROM a\nCOPY C:\\$x `$x /y\n")
    found = expanded(typed(dockerfile)[1], LOOKUP, dockerfile.escape)
    assert found == ins.Copy(Location("Dockerfile", 3, 3), "COPY C:\\$x `$x /y", ("C:\\X", "$x"), "/y")


def test_stages() -> None:
    text = "ARG a\nARG b=1\nFROM x AS one\nARG a\nRUN y\nFROM one\nFROM two AS three\nCMD z\n"
    found = program(parse(text))
    assert [argument.arguments[0].name for argument in found.arguments] == ["a", "b"]
    assert [(stage.base.image, stage.base.name) for stage in found.stages] == [
        ("x", "one"),
        ("one", ""),
        ("two", "three"),
    ]
    assert [len(stage.instructions) for stage in found.stages] == [2, 0, 1]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("RUN x\nFROM a\n", 1, "no build stage in current context"),
        ("ARG a\nENV a=b\n", 2, "no build stage in current context"),
        ("ARG a\n", 1, "dockerfile contains no stages to build"),
    ],
)
def test_a_file_begins_with_from(text: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError, match=message) as error:
        program(parse(text))
    assert str(error.value.where) == f"Dockerfile:{line}"


def test_triggers_are_kept_as_text_and_read_again() -> None:
    text = "FROM a\nONBUILD  RUN y\nONBUILD COPY \\\n <<EOF /x\n1\nEOF\n"
    _, run, copy = typed(parse(text))
    assert isinstance(run, ins.Onbuild)
    assert isinstance(copy, ins.Onbuild)
    assert (run.expression, copy.expression) == ("RUN y", "COPY  <<EOF /x\n1\nEOF")
    again = trigger(copy.expression)
    assert isinstance(again, ins.Copy)
    assert again.files == (InlineFile("EOF", "1\n", True),)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("RUN a\nRUN b", "onbuild trigger should be a single expression"),
        ("ONBUILD RUN a", "Chaining ONBUILD"),
        ("FROM a", "FROM isn't allowed"),
        ("", "file with no instructions"),
        ("NOPE", "unknown instruction: NOPE"),
    ],
)
def test_a_base_images_triggers_are_checked(expression: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        trigger(expression)
