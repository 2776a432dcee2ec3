"""`--build-context`: folders, images, layouts and repositories under names that a Dockerfile uses."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry, write_files
from support.repositories import Work, backend, serving
from support.trees import contents

pytestmark = pytest.mark.needs("root", "busybox")

Build = Callable[..., str]


@pytest.fixture(autouse=True)
def nothing_is_left(wherry: Wherry) -> Iterator[None]:
    yield
    if wherry.root.exists():
        assert os.listdir(wherry.root / "tmp") == []


@pytest.fixture
def build(wherry: Wherry, tmp_path: Path) -> Build:
    """Build lines as `app` on a store with busybox as `base`; what was printed."""
    busybox.put(wherry.root, "base")

    def run(text: str, *words: str, **files: str) -> str:
        folder = write_files(tmp_path / "context", {"Dockerfile": text, **files})
        result = wherry("build", "-t", "app", "--progress", "plain", *words, folder, cwd=tmp_path)
        assert result.code == 0, result.err
        return result.err

    return run


def reused(printed: str) -> list[bool]:
    """For each step of the Dockerfile that is no FROM, whether it was CACHED."""
    lines = printed.splitlines()
    steps = [line.split()[0] for line in lines if re.match(r"#\d+ \[.*\d+/\d+\] (?!FROM)", line)]
    return [f"{number} CACHED" in lines for number in steps]


def archive(wherry: Wherry, tmp_path: Path) -> Path:
    """The base with a file more, as docker would save it."""
    folder = write_files(tmp_path / "made", {"Dockerfile": "FROM base\nENV LAYOUT=1\nCOPY f /f\n", "f": "f"})
    wherry.ok("build", "-t", "made", folder)
    wherry.ok("save", "-o", tmp_path / "made.tar", "made")
    wherry.ok("rmi", "made")
    return tmp_path / "made.tar"


def run(*words: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# folders


def test_a_folder_is_copied_mounted_and_built_on(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    write_files(tmp_path / "src", {"a": "1", "d/b": "2", ".dockerignore": "no", "no": "x"})
    text = (
        "FROM src AS files\nFROM base\nCOPY --from=src a /a\nCOPY --from=files d /d\n"
        "RUN --mount=from=src,target=/m ls -A /m > /names; touch /m/x 2> /dev/null || echo ro > /ro\n"
        "RUN --mount=from=src,source=d/b,target=/f cat /f > /out\n"
    )
    printed = build(text, "--build-context", "src=src")
    found = contents(wherry.root, "app")
    assert (found["a"], found["d/b"], found["out"], found["ro"]) == ("1", "2", "2", "ro\n")
    assert found["names"].split() == [".dockerignore", "a", "d"]
    assert "[files 1/1] FROM src" in printed
    assert "[internal] mount /d/b of context 'src'" in printed
    assert reused(build(text, "--build-context", "src=src")) == [True] * 4


def test_a_change_runs_what_copies_it_and_nothing_else(build: Build, tmp_path: Path) -> None:
    source = write_files(tmp_path / "src", {"a": "1", "b": "1", "c": "1"})
    text = (
        "FROM base\nCOPY --from=src a /\nRUN --mount=from=src,source=b,target=/b cat /b > /copy\nRUN echo x\n"
    )
    build(text, "--build-context", "src=src")
    (source / "c").write_text("2")
    assert reused(build(text, "--build-context", "src=src")) == [True, True, True]
    (source / "b").write_text("2")
    assert reused(build(text, "--build-context", "src=src")) == [True, False, False]
    (source / "a").write_text("2")
    assert reused(build(text, "--build-context", "src=src")) == [False, False, False]
    run("cp", "-a", "src", "elsewhere", cwd=tmp_path)
    assert reused(build(text, "--build-context", "src=elsewhere")) == [True, True, True]


def test_a_context_in_the_place_of_a_stage(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    write_files(tmp_path / "out", {"app": "ready made"})
    text = "FROM nowhere AS build\nRUN exit 1\nFROM base\nCOPY --from=build /app /app\n"
    printed = build(text, "--build-context", "build=out")
    assert contents(wherry.root, "app")["app"] == "ready made"
    assert "FROM context 'build'" in printed
    assert "exit 1" not in printed


# images


def test_another_image_in_the_place_of_a_base(build: Build, wherry: Wherry) -> None:
    text = "FROM alpine:latest\nRUN echo x > /x\nCOPY --from=docker.io/library/tools bin/busybox /b\n"
    words = ("--build-context", "docker.io/library/alpine=docker-image://base")
    build(text, *words, "--build-context", "tools=docker-image://docker.io/library/base:latest")
    assert contents(wherry.root, "app")["x"] == "x\n"
    result = wherry("build", "--build-context", "x=docker-image://nowhere.invalid/x", "-", stdin="FROM x\n")
    assert result.code == 1 and "cannot get the base image nowhere.invalid/x:latest" in result.err


def test_an_image_of_a_registry(wherry: Wherry, registry: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "c", {"Dockerfile": "FROM b\nCOPY --from=b bin/busybox /x\n"})
    wherry.ok("build", "-t", "app", "--build-context", f"b=docker-image://{registry}/busybox", folder)
    assert "x" in contents(wherry.root, "app")


@pytest.mark.needs("skopeo", "umoci")
def test_layouts_as_others_write_them(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    made = archive(wherry, tmp_path)
    run("skopeo", "copy", f"docker-archive:{made}", "oci:sk:v1", cwd=tmp_path)
    run("skopeo", "copy", f"docker-archive:{made}", "oci:plain", cwd=tmp_path)
    run("umoci", "tag", "--image", "sk:v1", "latest", cwd=tmp_path)
    text = "FROM alpine\nRUN echo $LAYOUT > /env\nCOPY --from=tools /f /copy\n"
    ids = set()
    for place in ("sk:v1", "sk", "plain"):
        words = ("--build-context", f"alpine=oci-layout://{place}")
        build(text, *words, "--build-context", f"tools=oci-layout://{tmp_path}/{place}")
        ids.add(wherry.ok("images", "-q", "app"))
    found = contents(wherry.root, "app")
    assert (found["env"], found["copy"]) == ("1\n", "f")
    assert len(ids) == 1
    names = wherry.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert sorted(names) == ["<none>:<none>", "app:latest", "base:latest"]
    index = json.loads((tmp_path / "sk" / "index.json").read_text())
    digest = index["manifests"][0]["digest"]
    build(text, *words, "--build-context", f"tools=oci-layout://sk@{digest}")


def test_a_layout_of_wherry(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    build("FROM base\nLABEL a=b\n", "-o", "type=oci,tar=false,dest=layout")
    build("FROM x\nRUN echo 1\n", "--build-context", "x=oci-layout://layout")
    assert wherry.ok("inspect", "-f", "{{.Config.Labels.a}}", "app").strip() == "b"


# repositories


@pytest.mark.needs("git")
def test_a_repository(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    work = Work(tmp_path / "srv" / "app")
    work.commit({"a": "1", "sub/b": "2"})
    text = "FROM base\nCOPY --from=src a /\nRUN --mount=from=src,source=sub,target=/m cp /m/b /b\n"
    with serving(backend(tmp_path / "srv")) as address:
        words = ("--build-context", f"src={address}/app.git#main")
        build(text, *words)
        assert reused(build(text, *words)) == [True, True]
        work.commit({"a": "3"})
        assert reused(build(text, *words)) == [False, False]
        work.commit({"c": "4"})
        assert reused(build(text, *words)) == [True, True]
    found = contents(wherry.root, "app")
    assert (found["a"], found["b"]) == ("3", "2")


# the rest of the command line


def test_errors(wherry: Wherry, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY --from=src a /\n", "a": ""})
    for value, code, message in (
        ("src=nope", 1, "--build-context src=nope: there is no such folder"),
        ("src=c/Dockerfile", 1, "that is no folder"),
        ("src=target:x", 1, "target: is no kind of context that wherry knows"),
        ("src", 125, "--build-context 'src' is not NAME=VALUE"),
        ("Src=c", 125, "a repository name is written in lower case"),
        ("scratch=c", 125, "'scratch' is reserved"),
        ("src=oci-layout://c", 1, "c is no OCI layout"),
        ("src=oci-layout://nope:1", 1, "there is no folder 'nope'"),
    ):
        result = wherry("build", "--build-context", value, "c", cwd=tmp_path)
        assert (result.code, message in result.err) == (code, True), result.err
    empty = write_files(tmp_path / "src", {"b": ""})
    result = wherry("build", "--build-context", f"src={empty}", folder)
    assert "'a' is not in context 'src'" in result.err
    assert "Dockerfile:2" in result.err
    assert wherry("build", "--build-context", "unused=c", folder, cwd=tmp_path).code == 1
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    wherry.ok("build", "--build-context", "unused=c", folder, cwd=tmp_path)


def test_the_linter_and_the_outline_know_contexts(wherry: Wherry, tmp_path: Path) -> None:
    busybox.put(wherry.root, "base")
    text = (
        "FROM src AS one\nARG A=1\nLABEL a=$NONE\n"
        "FROM img\nARG B\nCOPY --from=src x /\nUSER web\nENV A=$HOME_OF\n"
    )
    write_files(tmp_path / "c", {"Dockerfile": text, "src/": "", ".dockerignore": "x\n"})
    words: tuple[str, ...]
    words = ("--build-context", "src=c/src", "--build-context", "img=docker-image://base")
    result = wherry("build", "--check", "--strict", *words, "c", cwd=tmp_path)
    assert "not in the store" in wherry("build", "--check", "c", cwd=tmp_path).err
    assert "not in the store" not in result.err
    assert "LatestTag" not in result.out
    assert "CopyIgnoredFile" not in result.out
    assert result.out.count("UndefinedVar") == 2
    replaced = wherry("build", "--check", *words, "--build-context", "one=c/src", "c", cwd=tmp_path)
    assert replaced.out.count("UndefinedVar") == 1
    outline = wherry.ok("build", "--call=outline,format=json", *words, "--target", "one", "c", cwd=tmp_path)
    assert [item["name"] for item in json.loads(outline)["args"]] == ["A"]
    words += ("--build-context", "one=c/src")
    outline = wherry.ok("build", "--call=outline,format=json", *words, "--target", "one", "c", cwd=tmp_path)
    assert not json.loads(outline).get("args")


@pytest.mark.needs("newuidmap", "setpriv", "git")
def test_an_ordinary_user_gets_the_same_image(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    text = (
        "FROM src AS files\nFROM base\nCOPY --from=src a /\nCOPY --from=files d /d\nCOPY --from=r . /r/\n"
        "RUN --mount=from=src,target=/m cp /m/d/b /out\n"
    )
    files = {"a": "1", "d/b": "2"}
    work = Work(tmp_path / "srv" / "app")
    work.commit({"f": "3"})
    write_files(tmp_path / "src", files)
    with serving(backend(tmp_path / "srv")) as address, ordinary.user() as someone:
        repository = ("--build-context", f"r={address}/app.git")
        build(text, "--build-context", "src=src", *repository)
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        ordinary.put_busybox(someone, user.root, "base")
        folder = write_files(someone.home / "context", {"Dockerfile": text})
        source = write_files(someone.home / "src", files)
        printed = user.ok("build", "-q", "--build-context", f"src={source}", *repository, folder)
        assert printed == wherry.ok("images", "-q", "--no-trunc", "app")
        again = user("build", "--progress=plain", "--build-context", f"src={source}", *repository, folder)
        assert reused(again.err) == [True] * 4
        assert os.listdir(user.root / "tmp") == []
