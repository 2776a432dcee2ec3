"""Named contexts: what their names and values mean, and what planning makes of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from wherry.base.errors import Location, NotFound, WherryError
from wherry.build import named, scope
from wherry.build.named import FOLDER, GIT, IMAGE, IN_LAYOUT, URL, Contexts
from wherry.build.origins import Named, Wanted
from wherry.build.plan import Plan, plan
from wherry.build.step import Base, Copy, Run
from wherry.dockerfile.parser import parse
from wherry.oci import digest as digests
from wherry.oci.config import Execution, History, ImageConfig
from wherry.oci.platform import Platform
from wherry.store.images import Image

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
BASE, OTHER = digests.of(b"base"), digests.of(b"other")

IMAGES = {
    "base": ImageConfig(
        AMD64, Execution(env=("PATH=/bin", "A=base")), (BASE,), (History(created_by="base"),)
    ),
    "other": ImageConfig(AMD64, Execution(env=("A=other",), onbuild=("RUN trigger",)), (OTHER,)),
}


def find(name: str, where: Location | None, _platform: Platform) -> Image:
    if name not in IMAGES:
        raise NotFound(f"no image {name}", where=where)
    return Image(digests.of(name.encode()), IMAGES[name], 0, None)


def planned(text: str, target: str = "", **contexts: str) -> Plan:
    """`src="src"` is a context of files, `src="image other"` one that is an image."""

    def find_context(name: str, platform: Platform) -> Named | None:
        for wanted in (f"{name}_{platform.architecture}", name):
            kind, _, image = contexts.get(wanted, "").partition(" ")
            if kind == "image":
                return Named(wanted, partial(find, image))
            if kind:
                return Named(kind)
        return None

    arguments = scope.Arguments({}, scope.of_platform(AMD64, AMD64, target))
    return plan(parse(text), Wanted(target, AMD64, arguments, find, find_context))


def runs(found: Plan) -> list[str]:
    return [step.operation.args[-1] for step in found.steps if isinstance(step.operation, Run)]


def copies(found: Plan) -> list[tuple[str, tuple[str, ...], str]]:
    return [
        (step.operation.context, step.operation.patterns, step.operation.target)
        for step in found.steps
        if isinstance(step.operation, Copy)
    ]


def bases(found: Plan) -> list[tuple[str, ...]]:
    return [step.operation.diff_ids for step in found.steps if isinstance(step.operation, Base)]


# what stands for what


def test_files_for_copy() -> None:
    found = planned("FROM scratch\nCOPY --from=src a /b\nCOPY c /d\n", src="src")
    assert copies(found) == [("src", ("a",), "/b"), ("", ("c",), "/d")]
    assert all(not step.inputs for step in found.steps)


def test_files_for_a_mount() -> None:
    found = planned("FROM base\nRUN --mount=from=src,source=/x,target=/m make\n", src="src")
    assert copies(found) == [("src", ("/x",), "/content")]
    (run,) = [step for step in found.steps if isinstance(step.operation, Run)]
    assert found.steps[run.inputs[0]].name == "[internal] mount /x of context 'src'"


def test_an_image_for_copy_and_from() -> None:
    found = planned("FROM src\nRUN x\nCOPY --from=src a /b\n", src="image other")
    assert bases(found) == [(OTHER,)]
    assert runs(found) == ["trigger", "x"]
    assert found.aims[0].execution.env == ("A=other",)


def test_files_for_from_are_a_layer_on_nothing() -> None:
    found = planned("FROM src\nRUN x\n", src="src")
    assert copies(found) == [("src", ("/",), "/")]
    assert bases(found) == [()]
    assert found.aims[0].base is None
    assert found.aims[0].execution.environment()["PATH"]
    assert [step.name for step in found.steps] == ["", "[1/2] FROM src", "[2/2] RUN x"]
    assert [(line.text, line.step) for line in found.aims[0].history] == [
        ("FROM context 'src'", 1),
        ("RUN /bin/sh -c x", 2),
    ]


def test_a_stage_of_the_name_is_replaced_whole() -> None:
    text = "FROM nowhere AS src\nRUN never\nONBUILD RUN nor\nFROM src\nRUN x\nCOPY --from=src a /b\n"
    found = planned(text, src="src")
    assert runs(found) == ["x"]
    assert [step.name for step in found.steps][:2] == ["", "[src 1/1] FROM context 'src'"]
    assert found.steps[-1].inputs == (1,)
    found = planned(text, src="image other")
    # BuildKit does not run what the image has for children either: the stage is the image.
    assert runs(found) == ["x"]
    assert bases(found) == [(OTHER,)]
    assert found.aims[0].execution.env == ("A=other",)
    assert found.aims[0].execution.onbuild == ()


def test_the_target_may_be_a_replaced_stage() -> None:
    found = planned("FROM base\nRUN x\nFROM base AS src\nRUN y\n", src="image base")
    assert runs(found) == []
    assert found.aims[0].execution == IMAGES["base"].execution
    assert found.aims[0].base == IMAGES["base"]
    assert found.aims[0].history == ()


def test_what_a_replaced_stage_needed_is_not_built() -> None:
    text = "FROM base AS one\nRUN 1\nFROM base AS two\nCOPY --from=one a /\nFROM two\nRUN 2\n"
    assert runs(planned(text, two="two")) == ["2"]
    text = "FROM base AS one\nRUN 1\nFROM one AS two\nFROM two\nRUN 2\n"
    assert runs(planned(text, two="two")) == ["2"]


def test_a_stage_goes_before_a_context_called_as_a_base_is() -> None:
    text = "FROM base AS one\nRUN 1\nFROM one\nRUN 2\n"
    assert runs(planned(text, base="image other")) == ["trigger", "1", "2"]
    assert runs(planned(text, one="image other")) == ["2"]


def test_a_number_is_a_stage_first() -> None:
    text = "FROM base\nRUN 1\nFROM scratch\nCOPY --from=0 a /\nCOPY --from=7 b /\n"
    found = planned(text, **{"0": "0", "7": "7"})
    assert runs(found) == ["1"]
    assert copies(found) == [("", ("a",), "/"), ("7", ("b",), "/")]


def test_a_stage_that_nobody_needs_is_not_looked_at() -> None:
    assert runs(planned("FROM base AS unused\nFROM base\nRUN x\n", unused="image nowhere")) == ["x"]
    with pytest.raises(NotFound, match="no image nowhere") as caught:
        planned("FROM base\nCOPY --from=src a /\n", src="image nowhere")
    assert str(caught.value.where) == "Dockerfile:2"


def test_the_platform_of_a_stage_chooses() -> None:
    text = "FROM --platform=linux/arm64 src AS one\nCOPY --from=src a /1\nFROM src\nCOPY --from=one b /2\n"
    found = planned(text, src="any", src_arm64="arm")
    assert [context for context, _, _ in copies(found)] == ["arm", "arm", "any", ""]
    text = "FROM --platform=linux/arm64 base AS src\nFROM src\n"
    assert [context for context, _, _ in copies(planned(text, src_arm64="arm"))] == ["arm"]


def test_scratch_can_be_copied_from_and_mounted() -> None:
    found = planned("FROM base\nCOPY --from=scratch * /\nRUN --mount=from=scratch,target=/m x\n")
    assert bases(found) == [(BASE,), ()]


# names and values


@pytest.mark.parametrize("name", ["alpine", "alpine:latest", "docker.io/library/alpine", "library/alpine"])
@pytest.mark.parametrize(
    "given", ["alpine", "docker.io/library/alpine:latest", "index.docker.io/library/alpine"]
)
def test_one_image_by_any_name(tmp_path: Path, name: str, given: str) -> None:
    assert Contexts([(given, str(tmp_path))]).name(name, AMD64) == "alpine"


@pytest.mark.parametrize(
    "name", ["alpine:3", "alpine2", "ghcr.io/alpine", "x/alpine", "ALPINE", "", "a b", "-"]
)
def test_other_names_are_others(tmp_path: Path, name: str) -> None:
    assert Contexts([("alpine", str(tmp_path))]).name(name, AMD64) == ""


@pytest.mark.parametrize("name", ["scratch", "context", "Scratch", "CONTEXT"])
def test_reserved_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(WherryError, match="is reserved"):
        Contexts([(name, str(tmp_path))])
    assert Contexts([("other", str(tmp_path))]).name(name, AMD64) == ""


def test_a_name_for_one_platform_goes_first(tmp_path: Path) -> None:
    found = Contexts([("src", str(tmp_path)), ("src::linux/arm64/v8", "docker-image://x")])
    assert found.name("src", AMD64) == "src"
    assert found.name("src", ARM64) == "src::linux/arm64"
    assert found.value("src::linux/arm64") == (IMAGE, "x")
    assert Contexts([("src::linux/arm64", str(tmp_path))]).name("src", AMD64) == ""


def test_the_last_of_one_name_counts(tmp_path: Path) -> None:
    found = Contexts([("alpine", str(tmp_path)), ("docker.io/library/alpine", "docker-image://x")])
    assert found.value("alpine") == (IMAGE, "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker-image://alpine:3", (IMAGE, "alpine:3")),
        ("oci-layout://x/y:1", (IN_LAYOUT, "oci-layout://x/y:1")),
        ("https://h/r.git#main:sub", (GIT, "https://h/r.git#main:sub")),
        ("git@h:r.git", (GIT, "git@h:r.git")),
        ("ssh://git@h/r", (GIT, "ssh://git@h/r")),
        ("github.com/a/b", (GIT, "github.com/a/b")),
        ("file:///r.git", (GIT, "file:///r.git")),
        ("https://h/a.tar.gz", (URL, "https://h/a.tar.gz")),
        ("http://h/", (URL, "http://h/")),
        (".", (FOLDER, ".")),
    ],
)
def test_kinds(text: str, expected: tuple[str, str]) -> None:
    assert Contexts([("src", text)]).value("src") == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("src", "/no/such", "src=/no/such: there is no such folder"),
        ("src", __file__, "that is no folder"),
        ("src", "target:build", "target: is no kind"),
        ("src", "input:x", "input: is no kind"),
        ("src", "s3://me:secret@h/x", "s3: is no kind"),
        ("Src", ".", "written in lower case"),
        ("src::plan 9/x/y/z", ".", "not a platform"),
    ],
)
def test_what_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(WherryError, match=message):
        Contexts([(name, text)])


@pytest.mark.parametrize("text", ["", "src", "src=", "=x"])
def test_words_that_are_no_pair(text: str) -> None:
    with pytest.raises(WherryError, match="not NAME=VALUE"):
        named.parse(text)


def test_a_folder_of_an_unusual_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("git@h:r.git", "a:b", "c#d", "github.com/x"):
        (tmp_path / name).mkdir(parents=True)
        assert Contexts([("src", name)]).value("src") == (FOLDER, name)


def test_the_empty_image() -> None:
    contexts = Contexts([("src", "docker-image://scratch")])
    arguments = scope.Arguments({}, scope.of_platform(AMD64, AMD64, ""))
    find_context = partial(contexts.find, None)  # type: ignore[arg-type]
    wanted = Wanted("", AMD64, arguments, find, find_context)
    found = plan(parse("FROM src\nCOPY --from=src * /\n"), wanted)
    assert bases(found) == [()]
    assert found.steps[-1].inputs == (0,)
