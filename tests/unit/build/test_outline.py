"""`--call=outline` and `--call=targets`: what a target takes, and which targets there are."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from wherry.base.errors import NotFound
from wherry.build.outline import Outline, outline, targets
from wherry.dockerfile import parser
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.typed import program
from wherry.lint.subject import Surroundings
from wherry.lint.walk import walk
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.platform import host
from wherry.ui.outline import outline_document, outline_text, targets_document, targets_text

CHAIN = """\
ARG system=debian
# release is that of the system
ARG release=12
ARG image=${system}:${release}
ARG forgotten=1
# builder compiles
FROM ${image} AS builder
ARG VERSION=1.0
RUN --mount=type=secret,id=token,env=TOKEN --mount=type=ssh true
FROM scratch AS unneeded
ARG NEVER=1
RUN --mount=type=secret,id=never,required true
FROM scratch AS base
# MODE is debug or release
ARG MODE
ARG release
# app is what is shipped
FROM base AS app
ENV PART=cert
COPY --from=builder /app /app
RUN --mount=type=secret,id=$PART-$MODE --mount=type=secret,required,target=/etc/token \\
    --mount=type=ssh,id=git,required=true true
FROM scratch
"""


def outlined(
    text: str,
    target: str = "",
    arguments: Mapping[str, str] | None = None,
    bases: Mapping[str, ImageConfig] | None = None,
) -> Outline:
    around = Surroundings(
        arguments=arguments or {},
        predefined={"TARGETOS": "linux", "BUILDPLATFORM": "linux/amd64"},
        find_base=(bases or {}).get,
        target=target,
        every_stage=False,
    )
    return outline(walk(parser.parse(text), around))


def names(found: Outline) -> list[str]:
    return [parameter.name for parameter in found.parameters]


def test_the_arguments_of_the_stages_that_the_target_needs() -> None:
    found = outlined(CHAIN, "app", {"MODE": "debug"})
    assert (found.name, found.description) == ("app", "is what is shipped")
    assert [parameter[:3] for parameter in found.parameters] == [
        ("system", "debian", ""),
        ("release", "12", "is that of the system"),
        ("image", "debian:12", ""),
        ("VERSION", "1.0", ""),
        ("MODE", "debug", "is debug or release"),
    ]


def test_what_makes_up_a_value_that_is_given_anyway_does_not_count() -> None:
    assert names(outlined(CHAIN, "builder", {"image": "alpine"})) == ["image", "VERSION"]


def test_secrets_and_agents_with_their_required_flags() -> None:
    found = outlined(CHAIN, "app", {"MODE": "debug"})
    assert [loan[:2] for loan in found.secrets] == [("token", True), ("cert-debug", False)]
    assert [loan[:2] for loan in found.agents] == [("default", False), ("git", True)]


def test_the_default_target_is_the_last_stage() -> None:
    assert outlined(CHAIN) == Outline("", "", (), (), ())


def test_a_target_by_number() -> None:
    assert outlined(CHAIN, "2").name == "base"


def test_the_targets_own_declaration_goes_before_that_of_its_base() -> None:
    text = "FROM scratch AS a\nARG X=1\nFROM a\n# X is the second\nARG X=2\n"
    assert [parameter[:3] for parameter in outlined(text).parameters] == [("X", "2", "is the second")]


def test_predefined_arguments_count_where_the_file_gives_them_a_value() -> None:
    text = "FROM --platform=$BUILDPLATFORM scratch\nARG TARGETOS\n"
    assert names(outlined(text)) == []
    assert names(outlined(text + "ARG TARGETARCH=riscv64\n")) == ["TARGETARCH"]


def test_the_environment_of_a_base_and_its_triggers() -> None:
    execution = Execution(env=("NAME=key",), onbuild=("ARG COLOUR=red", "RUN --mount=type=secret,id=$NAME x"))
    base = ImageConfig(platform=host(), execution=execution)
    found = outlined("# a comment\nFROM base\n", bases={"base": base})
    assert names(found) == ["COLOUR"]
    assert [(loan.name, loan.where.line) for loan in found.secrets] == [("key", 2)]


def test_a_target_that_is_missing_is_named() -> None:
    with pytest.raises(NotFound, match="target stage 'ap' could not be found") as caught:
        outlined(CHAIN, "ap")
    assert caught.value.hint == "did you mean app?"


def test_a_wrong_dockerfile_is_an_error() -> None:
    with pytest.raises(DockerfileError, match="unknown instruction: RUNN"):
        outlined("FROM scratch\nRUNN x\n")


def test_the_table() -> None:
    assert outline_text(outlined(CHAIN, "app", {"MODE": "debug"})) == (
        "TARGET:      app\n"
        "DESCRIPTION: is what is shipped\n"
        "\n"
        "BUILD ARG   VALUE       DESCRIPTION\n"
        "system      debian      \n"
        "release     12          is that of the system\n"
        "image       debian:12   \n"
        "VERSION     1.0         \n"
        "MODE        debug       is debug or release\n"
        "\n"
        "SECRET       REQUIRED\n"
        "token        true\n"
        "cert-debug   \n"
        "\n"
        "SSH       REQUIRED\n"
        "default   \n"
        "git       true\n"
        "\n"
    )


def test_control_characters_of_a_comment_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in outline_text(outlined("# a \x1b[31mred\nFROM scratch AS a\n"))


def test_the_document_leaves_out_what_is_empty() -> None:
    text = "FROM scratch\nARG X\nRUN --mount=type=ssh,required \\\n true\n"
    assert outline_document(outlined(text), text.encode()) == {
        "args": [{"name": "X", "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}}],
        "ssh": [
            {
                "name": "default",
                "required": True,
                "location": {"ranges": [{"start": {"line": 3}, "end": {"line": 4}}]},
            }
        ],
        "sources": [base64.b64encode(text.encode()).decode()],
    }


def test_targets() -> None:
    text = "# one is first\nFROM --platform=$BUILDPLATFORM a:$V AS one\nFROM b\nFROM one as two\n"
    found = targets(program(parser.parse(text)))
    assert targets_text(found) == (
        "TARGET        DESCRIPTION\none           is first\n              \ntwo (default) \n"
    )
    document = targets_document(found, text.encode())
    lines = [item.pop("location")["ranges"][0]["start"]["line"] for item in document["targets"]]
    assert lines == [2, 3, 4]
    assert document["targets"] == [
        {"name": "one", "description": "is first", "base": "a:$V", "platform": "$BUILDPLATFORM"},
        {"base": "b"},
        {"name": "two", "default": True, "base": "one"},
    ]


def test_a_number_that_python_refuses_to_read_is_no_stage() -> None:
    digits = "9" * 5000
    with pytest.raises(NotFound, match="target stage '9"):
        outlined(CHAIN, digits)
    assert names(outlined(f"FROM scratch\nARG A\nCOPY --from={digits} a b\n")) == ["A"]
