"""COPY in a project that is built again and again: what changes nothing costs nothing, in each mode."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import busybox, cli, ordinary
from support.cli import Wherry
from support.progress import words
from wherry.build.build import build
from wherry.build.context import Context
from wherry.build.filedigests import TICK
from wherry.build.options import Options
from wherry.layer.layers import Layers
from wherry.store.store import Store

Make = Callable[[Mapping[str, str | bytes]], Path]

FILES = {f"src/d/{name}": name * 100 for name in "abcdef"}
RUN = "RUN cat src/d/* > /all; ls -lnR src > /list; stat -c %Y src/d/a > /time"


@pytest.fixture(params=["root", "copy", "userns", "single-id"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Wherry, Path]]:
    """Someone with an image `busybox`, and a folder of his; `copy`: root, without overlay."""
    if request.param in ("root", "copy"):
        snapshotter = {"WHERRY_SNAPSHOTTER": "copy"} if request.param == "copy" else {}
        wherry = Wherry(tmp_path / "wherry", tmp_path / "docker", snapshotter)
        busybox.put(wherry.root, "busybox")
        yield wherry, tmp_path / "context"
        return
    with ordinary.user(subordinate=request.param == "userns") as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        ordinary.put_busybox(user, wherry.root, "busybox")
        folder = user.home.parent / "context"
        folder.mkdir()
        folder.chmod(0o755)
        yield wherry, folder


def links(wherry: Wherry, name: str) -> list[int]:
    """The link counts of what is `name` in all layers' trees."""
    return sorted(path.lstat().st_nlink for path in Path(wherry.root).glob(f"layers/*/fs*/{name}"))


def settle() -> None:
    time.sleep(2 * TICK / 1e9)


@pytest.mark.needs("root", "newuidmap")
def test_a_run_sees_the_files_that_were_linked_and_those_that_were_not(
    project: tuple[Wherry, Path],
) -> None:
    wherry, folder = project
    dockerfile = f"FROM busybox\nWORKDIR /app\nCOPY --chown=7:8 src src\n{RUN}\n"
    cli.write_files(folder, {"Dockerfile": dockerfile, **FILES})
    settle()
    words(wherry, folder)
    assert links(wherry, "app/src/d/a") == [1]
    (folder / "src/d/c").write_text("changed")
    assert words(wherry, folder)[RUN] == "DONE"
    assert links(wherry, "app/src/d/a") == [2, 2]
    assert links(wherry, "app/src/d/c") == [1, 1]
    result = wherry("run", "--rm", "--network=none", "busybox", "true")
    assert result.code == 0, result.err
    assert wherry("build", "-t", "app", folder).code == 0
    shown = wherry("run", "--rm", "app", "cat", "/all")
    assert shown.out == "".join({**FILES, "src/d/c": "changed"}.values())


@pytest.mark.needs("root", "newuidmap")
def test_what_a_run_does_to_a_linked_file_stays_in_its_layer(project: tuple[Wherry, Path]) -> None:
    """Contents, modes, owners and times of a file that two layers share change in a copy."""
    wherry, folder = project
    run = "RUN cd src/d; echo x >> a; chmod 600 b; chown 5 c; touch -d @7 d; ln e e2; rm f"
    head = "FROM busybox\nWORKDIR /app\nCOPY src src\n"
    cli.write_files(folder, {"Dockerfile": f"{head}RUN true\n", **FILES, "src/g": "g"})
    settle()
    words(wherry, folder)
    cli.write_files(folder, {"Dockerfile": f"{head}{run}\n", "src/g": "changed"})
    assert words(wherry, folder)[run] == "DONE"
    names = [name[-1] for name in FILES]
    trees = [path.parent for path in Path(wherry.root).glob("layers/*/fs*/app/src/d/f") if path.is_file()]
    assert len(trees) == 2
    assert trees[0].stat().st_ino != trees[1].stat().st_ino
    for tree in trees:
        assert {path.name: path.read_text() for path in tree.iterdir()} == {
            name: name * 100 for name in names
        }
        status = [path.stat() for path in tree.iterdir()]
        assert {(one.st_mode, one.st_uid, one.st_mtime) for one in status} == {
            (status[0].st_mode, status[0].st_uid, 315532800)
        }
    assert links(wherry, "app/src/d/e")[-1] == 2


class Counted:
    """What a build read of its context, and wrote into layers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read = self.written = 0
        opened, added = Context._open, Layers.add_tar

        def open_(self_: Context, path: str) -> int:
            self.read += 1
            return opened(self_, path)

        def add_tar(*arguments: object, **options: object) -> object:
            self.written += 1
            return added(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(Context, "_open", open_)
        monkeypatch.setattr(Layers, "add_tar", add_tar)


def test_on_another_base_nothing_is_read_and_nothing_written(
    tmp_path: Path, context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`COPY .` on a base that is another one than before: its layer moves there as it is."""
    lines = "FROM scratch\nCOPY {} /base\nCOPY src /app/\n"
    folder = context({"Dockerfile": lines.format("one"), "one": "1", "two": "2", **FILES})
    settle()
    with Store.open(str(tmp_path / "store")) as store:
        build(store, Options(context=str(folder)))
        (folder / "Dockerfile").write_text(lines.format("two"))
        build(store, Options(context=str(folder), target=""))
        (folder / "Dockerfile").write_text(lines.format("one") + "LABEL a=b\n")
        counted = Counted(monkeypatch)
        build(store, Options(context=str(folder)))
        assert (counted.read, counted.written) == (0, 0)
        settle()
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY two /other\nCOPY src /app/\n")
        build(store, Options(context=str(folder)))
        assert (counted.read, counted.written) == (1, 1)  # `two` alone


def test_two_clones_give_one_layer(tmp_path: Path, context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other times, in another folder: the second one reads its files, and writes nothing."""
    first = context({"Dockerfile": "FROM scratch\nCOPY . /app/\n", **FILES})
    second = tmp_path / "clone"
    cli.write_files(second, {"Dockerfile": "FROM scratch\nCOPY . /app/\n", **FILES})
    os.utime(second / "src/d/a", (5, 5))
    with Store.open(str(tmp_path / "store")) as store, Store.open(str(tmp_path / "other")) as other:
        built = build(store, Options(context=str(first)))
        counted = Counted(monkeypatch)
        assert build(store, Options(context=str(second))).image == built.image
        assert (counted.read, counted.written) == (len(FILES) + 1, 0)
        assert build(other, Options(context=str(second))).image == built.image
