"""From instructions to a graph: stages, targets, arguments, platforms, the config and its history."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.linear import assert_linear
from wherry.base.errors import Location, NotFound, WherryError
from wherry.build import scope
from wherry.build.origins import Wanted
from wherry.build.plan import Plan, plan
from wherry.build.step import Base, Copy, Folder, Run
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.parser import parse
from wherry.oci import digest as digests
from wherry.oci.config import Execution, History, ImageConfig
from wherry.oci.platform import Platform
from wherry.store.images import Image

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")

LAYER = digests.of(b"layer")

IMAGES = {
    "base": ImageConfig(
        AMD64,
        Execution(env=("PATH=/bin", "FROM_BASE=1"), cmd=("sh",), working_dir="/base"),
        (LAYER,),
        (History(created_by="base"),),
    ),
    "parent": ImageConfig(AMD64, Execution(onbuild=("RUN first", "COPY a b"))),
    "puller": ImageConfig(AMD64, Execution(onbuild=("COPY --from=made a b",))),
}

asked: list[tuple[str, Platform]] = []


def find(name: str, where: Location | None, platform: Platform) -> Image:
    asked.append((name, platform))
    if name not in IMAGES:
        raise NotFound(f"no {name}", where=where)
    return Image(digests.of(name.encode()), IMAGES[name], 0, None)


def planned(text: str, target: str = "", platform: Platform = AMD64, **given: str) -> Plan:
    asked.clear()
    arguments = scope.Arguments(given, scope.of_platform(platform, AMD64, target))
    return plan(parse(text), Wanted(target, platform, arguments, find))


def names(found: Plan) -> list[str]:
    return [step.name for step in found.steps]


def runs(found: Plan) -> list[str]:
    return [step.operation.args[-1] for step in found.steps if isinstance(step.operation, Run)]


def test_one_stage() -> None:
    found = planned("FROM base\nRUN make\nENV A=1\nCOPY x /y\nWORKDIR z\n")
    assert names(found) == ["[1/4] FROM base", "[2/4] RUN make", "[3/4] COPY x /y", "[4/4] WORKDIR z"]
    assert [step.parent for step in found.steps] == [None, 0, 1, 2]
    assert found.steps[0].operation == Base((LAYER,))
    assert found.steps[3].operation == Folder("/base/z", "")
    assert [item.text for item in found.aims[0].history] == [
        "RUN /bin/sh -c make", "ENV A=1", "COPY x /y", "WORKDIR /base/z",
    ]  # fmt: skip
    assert [item.step for item in found.aims[0].history] == [1, None, 2, 3]


def test_only_what_the_target_needs() -> None:
    text = (
        "FROM nowhere AS unused\nFROM base AS one\nRUN 1\nFROM base AS two\nRUN 2\n"
        "FROM scratch\nCOPY --from=one / /\n"
    )
    assert runs(planned(text)) == ["1"]
    assert runs(planned(text, "two")) == ["2"]
    assert runs(planned(text, "2")) == ["2"]
    assert runs(planned(text, "ONE")) == ["1"]
    with pytest.raises(NotFound, match="target stage 'three'"):
        planned(text, "three")


def test_names_show_the_stage_where_there_are_several() -> None:
    found = planned("FROM base AS b\nRUN 1\nFROM scratch\nCOPY --from=b / /\n")
    assert names(found) == [
        "[b 1/2] FROM base", "[b 2/2] RUN 1", "[stage-1 1/2] FROM scratch", "[stage-1 2/2] COPY --from=b / /",
    ]  # fmt: skip


def test_a_later_stage_of_the_same_name_counts_and_no_stage_refers_to_itself() -> None:
    found = planned("FROM base AS x\nRUN 1\nFROM base AS x\nRUN 2\nFROM x\n")
    assert runs(found) == ["2"]
    with pytest.raises(NotFound, match="no self"):
        planned("FROM self AS self\n")


def test_equal_steps_on_equal_parents_are_one() -> None:
    text = (
        "FROM base AS a\nRUN same\nFROM base AS b\nRUN same\nRUN b\n"
        "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    )
    assert runs(planned(text)) == ["same", "b"]


def test_arguments_and_variables() -> None:
    text = "ARG G=g\nFROM base\nARG G\nARG A=a$G\nENV E=$A-$FROM_BASE\nRUN x\nENV A=env\nRUN y\n"
    environments = [
        dict(step.operation.environment) for step in planned(text).steps if isinstance(step.operation, Run)
    ]
    assert environments[0] == {"G": "g", "A": "ag", "PATH": "/bin", "FROM_BASE": "1", "E": "ag-1"}
    assert environments[1]["A"] == "env"
    given = planned(text, A="given")
    assert "RUN |2 A=given G=g /bin/sh -c x" in [item.text for item in given.aims[0].history]


def test_from_takes_global_arguments_only() -> None:
    assert asked_for("ARG B=base\nFROM $B\n") == ["base"]
    assert asked_for("ARG B=none\nFROM ${B}\n", B="base") == ["base"]
    with pytest.raises(WherryError, match="should not be blank"):
        planned("FROM $NONE\n")


def asked_for(text: str, **given: str) -> list[str]:
    planned(text, "", AMD64, **given)
    return list(dict.fromkeys(name for name, _ in asked))


def test_platform_arguments_and_the_platform_of_a_stage() -> None:
    text = (
        "FROM --platform=$BUILDPLATFORM base AS build\nARG TARGETARCH\nRUN for $TARGETARCH\n"
        "FROM base\nCOPY --from=build / /\n"
    )
    found = planned(text, platform=ARM64)
    assert set(asked) == {("base", AMD64), ("base", ARM64)}
    assert [step.platform for step in found.steps] == [
        "linux/amd64",
        "linux/amd64",
        "linux/arm64",
        "linux/arm64",
    ]
    (run,) = [step.operation for step in found.steps if isinstance(step.operation, Run)]
    assert dict(run.environment)["TARGETARCH"] == "arm64"
    assert found.aims[0].platform == ARM64


def test_onbuild_comes_first_and_once() -> None:
    found = planned("FROM parent AS child\nRUN second\nFROM child\nRUN third\n")
    assert runs(found) == ["first", "second", "third"]
    assert found.aims[0].execution.onbuild == ()


def test_cmd_is_dropped_with_a_new_entrypoint() -> None:
    assert planned('FROM base\nENTRYPOINT ["e"]\n').aims[0].execution.cmd is None
    assert planned('FROM base\nCMD ["c"]\nENTRYPOINT ["e"]\n').aims[0].execution.cmd == ("c",)
    assert planned('FROM base\nENTRYPOINT ["e"]\nCMD ["c"]\n').aims[0].execution.cmd == ("c",)


def test_shell_is_used_by_run_cmd_and_entrypoint() -> None:
    found = planned('FROM base\nSHELL ["bash", "-e"]\nRUN x\nCMD y\n')
    assert found.aims[0].execution.cmd == ("bash", "-e", "y")
    assert found.steps[1].operation.args == ("bash", "-e", "x")  # type: ignore[union-attr]


def test_targets_of_copy() -> None:
    found = planned("FROM base\nCOPY a .\nCOPY a ./\nCOPY a x\nCOPY a ../x/\nCOPY a /\n")
    targets = [step.operation.target for step in found.steps if isinstance(step.operation, Copy)]
    assert targets == ["/base/", "/base/", "/base/x", "/x/", "/"]


def test_an_error_has_its_place_and_lines() -> None:
    with pytest.raises(WherryError) as caught:
        planned("FROM base\nENV A=1\nCOPY a b c\n")
    assert str(caught.value.where) == "Dockerfile:3"
    assert "3 | >>> COPY a b c" in caught.value.excerpt


@pytest.mark.parametrize("line", ["COPY --from=made a b", "RUN --mount=from=made,target=/m x"])
def test_onbuild_needs_the_stages_of_the_file_that_it_is_triggered_in(line: str) -> None:
    """Reference, "ONBUILD": as of Dockerfile syntax 1.11, with stages, images and contexts."""
    text = f"FROM base AS parent\nONBUILD {line}\nFROM base AS made\nRUN make\nFROM parent\n"
    found = planned(text)
    assert runs(found)[0] == "make"
    assert "make" not in runs(planned(text, target="parent"))
    grandchild = text.replace("FROM parent\n", "FROM parent AS child\nFROM child\n")
    assert [step.operation for step in planned(grandchild).steps] == [step.operation for step in found.steps]


def test_onbuild_of_an_image_needs_stages_too() -> None:
    assert runs(planned("FROM base AS made\nRUN make\nFROM puller\nRUN end\n")) == ["make", "end"]
    with pytest.raises(NotFound, match="no made"):
        planned("FROM puller\n")


def test_a_platform_that_is_none_is_shown_where_it_stands() -> None:
    with pytest.raises(WherryError, match="not a platform: 'a/b/c/d'") as error:
        planned("ARG p=a/b/c/d\nFROM --platform=$p base\n")
    assert error.value.where == Location("Dockerfile", 2, 2)


def test_a_trigger_stands_at_from_and_says_so() -> None:
    found = planned("FROM base\nFROM parent\nCOPY x y\n")
    shown = [(step.name, step.where and step.where.line) for step in found.steps]
    assert shown == [
        ("[stage-1 1/4] FROM parent", 2),
        ("[stage-1 2/4] ONBUILD RUN first", 2),
        ("[stage-1 3/4] ONBUILD COPY a b", 2),
        ("[stage-1 4/4] COPY x y", 3),
    ]
    assert not any("ONBUILD" in line.text for line in found.aims[0].history)
    with pytest.raises(WherryError) as error:
        planned("FROM base\nFROM puller\n")
    assert error.value.where == Location("Dockerfile", 2, 2)


def test_zero_bytes_are_refused_where_they_stand() -> None:
    with pytest.raises(DockerfileError, match="zero byte") as error:
        planned("FROM base\n\nENV a=\0\n")
    assert error.value.where == Location("Dockerfile", 3, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("7", "invalid stage index 7"),
        ("1", "stage '1' cannot take files from itself"),
        ("Own", "stage 'Own' cannot take files from itself"),
        ("2", "stage '2' comes later in the file"),
        ("later", "stage 'later' comes later in the file"),
    ],
)
@pytest.mark.parametrize("instruction", ["COPY --from={} a b", "RUN --mount=from={},target=/x true"])
def test_from_a_stage_that_does_not_come_earlier(name: str, message: str, instruction: str) -> None:
    text = f"FROM base\nFROM base AS own\n{instruction.format(name)}\nFROM base AS later\n"
    with pytest.raises(WherryError, match=message) as error:
        planned(text, target="own")
    assert error.value.where == Location("Dockerfile", 3, 3)


LARGE: dict[str, Callable[[int], str]] = {
    "variables": lambda n: "FROM scratch\n" + "".join(f"ENV a{i}=1 b{i}=$a{i - 1}\n" for i in range(n)),
    "arguments": lambda n: "FROM scratch\n" + "".join(f"ARG a{i}=1\nLABEL l{i}=$a{i}\n" for i in range(n)),
    "global arguments": lambda n: "".join(f"ARG a{i}=1\n" for i in range(n)) + "FROM scratch\n",
    "ports and volumes": lambda n: "FROM scratch\n" + "".join(f"EXPOSE {i}\nVOLUME /{i}\n" for i in range(n)),
    "triggers": lambda n: "FROM scratch AS a\n" + "ONBUILD USER a\n" * n + "FROM a\n",
    "stages": lambda n: (
        "FROM scratch AS s0\n" + "".join(f"FROM s{i} AS s{i + 1}\nLABEL a=b\n" for i in range(n))
    ),
    "copies": lambda n: (
        "FROM scratch AS s0\nCOPY a a\n"
        + "".join(f"FROM scratch AS s{i + 1}\nCOPY --from=s{i} a a\n" for i in range(n))
    ),
    "steps": lambda n: "FROM scratch\n" + "".join(f"WORKDIR /{i}\nRUN {i}\n" for i in range(n)),
}


@pytest.mark.parametrize("kind", LARGE)
def test_time_is_linear(kind: str) -> None:
    assert_linear(lambda size: planned(LARGE[kind](size)), 500)
