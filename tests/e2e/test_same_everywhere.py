"""The same inputs give the same image: in every mode, with each snapshotter, from two clones of a repository,
in stores of their own, with a clock that is some minutes ahead. (docs/reproducible.md)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import busybox, ordinary
from support.cli import Wherry, write_files

pytestmark = pytest.mark.needs("root", "busybox", "git", "newuidmap", "setpriv")

EPOCH = "1700000000"
DOCKERFILE = """\
FROM busybox AS build
WORKDIR /src
COPY . .
ADD vendor.tar /vendor/
RUN cat main.c vendor/* /vendor/lib.c | sha256sum > program && chmod 4755 program && ln program same
RUN mkdir -p deep/er && echo made > deep/er/file && mkfifo deep/pipe && touch -d @86400 deep/old

FROM busybox
ARG SOURCE_DATE_EPOCH
LABEL built=$SOURCE_DATE_EPOCH
COPY --from=build --chown=web /src/program /src/deep /app/
COPY --chmod=640 config /etc/app/
RUN echo app:x:77:77::/:/bin/sh >> /etc/passwd && chown -R app:web /app && rm -rf /data && mkdir -m 700 /data
RUN --mount=type=bind,target=/context cp -a /context/config /copy && mv /etc/notes.txt /etc/moved.txt
USER app
RUN id -un > /tmp/me && ln -s me /tmp/link
CMD ["/app/program"]
"""

AHEAD = """\
import sys, time
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + 754
time.time_ns = lambda: now_ns() + 754 * 10**9
from wherry.cli.main import main
sys.exit(main())
"""
"""The command with another time of day; that of the kernel, which files get, is the machine's."""


class Made(NamedTuple):
    image: str
    config: str
    manifest: str
    """The digest of the one in an OCI layout, compressed."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    files = {
        "Dockerfile": DOCKERFILE,
        "main.c": "main",
        "config/a": "a",
        "config/b/c": "c",
        "vendor/lib.c": "l",
    }
    write_files(folder, files)
    with tarfile.open(folder / "vendor.tar", "w") as archive:
        archive.add(folder / "vendor/lib.c", "lib.c")
    (folder / "config/link").symlink_to("a")
    (folder / "main.c").chmod(0o755)
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return folder


def clone(repository: Path, folder: Path, days: int) -> Path:
    """A clone whose files have times of their own, and a folder that lists them in another order."""
    subprocess.run(["git", "clone", "-q", repository, folder], check=True)
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=days % 2 == 0)):
        if ".git" not in path.parts:
            os.utime(path, (0, 1_000_000_000 + 86400 * days + number), follow_symlinks=False)
    (folder / ".dockerignore").write_text(".git\n.dockerignore\n")
    return folder


def made(wherry: Wherry, context: Path, *flags: str) -> Made:
    target = context.with_suffix(".oci")
    outputs = ("-o", "type=image", "-o", f"type=oci,dest={target}")
    epoch = {"SOURCE_DATE_EPOCH": EPOCH}
    image = wherry.ok("build", "-q", *outputs, "-t", "app", *flags, context, env=epoch).strip()
    entry = index_of(target)
    config = wherry.root / "blobs/sha256" / image.removeprefix("sha256:")
    return Made(image, config.read_text(), entry["digest"])


def index_of(layout: Path) -> dict[str, Any]:
    """What names the one image of an OCI layout, or the index of several."""
    with tarfile.open(layout) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        (entry,) = json.load(index)["manifests"]
    found: dict[str, Any] = entry
    return found


@contextmanager
def user(subordinate: bool) -> Iterator[tuple[Wherry, Path]]:
    with ordinary.user(subordinate=subordinate) as someone:
        wherry = Wherry(someone.home / "wherry", someone.home / "docker", prefix=someone.prefix)
        if subordinate:
            ordinary.put_busybox(someone, wherry.root, "busybox")
        else:
            busybox.put(wherry.root, "busybox")
            ordinary.hand_over(wherry.root)
        yield wherry, someone.home


@pytest.fixture(scope="module")
def first(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("first")
    wherry = Wherry(folder / "wherry", folder / "docker")
    busybox.put(wherry.root, "busybox")
    return made(wherry, clone(repository, folder / "clone", 1), "--snapshotter=overlay")


def as_root(folder: Path) -> Wherry:
    wherry = Wherry(folder / "wherry", folder / "docker")
    busybox.put(wherry.root, "busybox")
    return wherry


@pytest.mark.parametrize("flags", [(), ("--snapshotter=copy",), ("--jobs=1", "--timestamps=fixed")])
def test_another_store_and_another_clone(
    repository: Path, first: Made, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    assert made(as_root(tmp_path), clone(repository, tmp_path / "clone", 2), *flags) == first


@pytest.mark.parametrize("subordinate", [True, False], ids=["userns", "single-id"])
def test_a_user_without_rights(repository: Path, first: Made, subordinate: bool) -> None:
    with user(subordinate) as (wherry, home):
        context = clone(repository, home / "clone", 3)
        ordinary.hand_over(context)
        assert f'"{"userns" if subordinate else "single-id"}"' in wherry.ok("info", "--format", "json")
        found = made(wherry, context)
    assert found == first


@pytest.mark.parametrize("snapshotter", ["overlay", "copy"])
def test_a_user_s_snapshotters(repository: Path, first: Made, snapshotter: str) -> None:
    with user(subordinate=True) as (wherry, home):
        context = clone(repository, home / "clone", 4)
        ordinary.hand_over(context)
        assert made(wherry, context, f"--snapshotter={snapshotter}") == first


def test_a_clock_that_is_ahead(repository: Path, first: Made, tmp_path: Path) -> None:
    wherry = as_root(tmp_path)
    wherry.command = [sys.executable, "-c", AHEAD]
    assert made(wherry, clone(repository, tmp_path / "clone", 5)) == first


def test_the_same_store_without_its_cache(repository: Path, first: Made, tmp_path: Path) -> None:
    wherry, context = as_root(tmp_path), clone(repository, tmp_path / "clone", 6)
    assert made(wherry, context) == first
    assert made(wherry, context, "--no-cache") == first


def test_what_is_pushed_is_the_same(registry: str, repository: Path, first: Made, tmp_path: Path) -> None:
    """The manifest's digest too, whoever compressed the layers."""
    wherry = as_root(tmp_path)
    made(wherry, clone(repository, tmp_path / "clone", 7))
    name = f"{registry}/same/{os.getpid()}:v1"
    wherry.ok("tag", "app", name)
    wherry.ok("push", "-q", name)
    assert wherry.ok("inspect", "-f", "{{json .RepoDigests}}", name).strip() == json.dumps(
        [f"{name.removesuffix(':v1')}@{first.manifest}"]
    )


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_an_index_of_two_platforms_is_the_same(repository: Path, tmp_path: Path, form: str) -> None:
    found = []
    for number in (1, 2):
        wherry = Wherry(tmp_path / str(number) / "wherry", tmp_path / "docker")
        context = clone(repository, tmp_path / str(number) / "clone", number)
        (context / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY . /$TARGETARCH\nENV A=b\n")
        output = f"type=oci,dest={context}.oci,compression={form}"
        flags = ("--platform=linux/amd64,linux/arm64", f"--jobs={number}", "-o", output)
        wherry.ok("build", "-q", *flags, context, env={"SOURCE_DATE_EPOCH": EPOCH})
        found.append(index_of(Path(f"{context}.oci")))
    assert found[0] == found[1]
    assert "image.index" in found[0]["mediaType"]


def test_it_depends_on_the_epoch(first: Made) -> None:
    """So the comparisons above compare something."""
    config = json.loads(first.config)
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert {item["created"] for item in config["history"] if item.get("comment") == "wherry"} == {
        "2023-11-14T22:13:20Z"
    }
    assert config["config"]["Labels"] == {"built": ""}
