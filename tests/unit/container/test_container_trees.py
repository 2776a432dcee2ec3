"""A volume's first content: all that the image's folder is, and nothing from outside of it."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.container import trees, volumes
from wherry.container.options.mounting import Volume


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(os.urandom(3 << 20))
    (folder / "inner" / "file").chmod(0o4751)
    os.utime(folder / "inner" / "file", ns=(1, 2))
    (folder / "inner" / "deep").chmod(0o2700)
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "\udcff").write_text("any name")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket"))
    os.setxattr(folder / "inner", "user.note", b"\0\1")
    folder.chmod(0o710)
    if os.geteuid() == 0:
        os.chown(folder, 5, 6)
        os.lchown(folder / "outside", 7, 8)
    return folder


def fill(root: Path, source: Path) -> Path:
    volume = Volume("volume", "data", "/data")
    place = Path(volumes.provide(str(root), volume))
    descriptor = os.open(source, os.O_RDONLY)
    try:
        volumes.fill(str(root), volume, descriptor)
    finally:
        os.close(descriptor)
    return place


def described(path: Path) -> tuple[int, int, int, str]:
    status = path.lstat()
    return status.st_mode, status.st_uid, status.st_gid, os.readlink(path) if path.is_symlink() else ""


def test_everything_is_copied_but_special_files(tmp_path: Path, source: Path) -> None:
    place = fill(tmp_path / "store", source)
    assert sorted(os.listdir(place)) == ["inner", "outside", "\udcff"]
    for name in ("", "inner", "inner/deep", "inner/file", "outside", "\udcff"):
        assert described(place / name) == described(source / name), name
    assert (place / "inner" / "file").read_bytes() == (source / "inner" / "file").read_bytes()
    assert (place / "inner" / "file").stat().st_mtime_ns == 2
    assert os.getxattr(place / "inner", "user.note") == b"\0\1"


def test_only_the_first_use_copies(tmp_path: Path, source: Path) -> None:
    place = fill(tmp_path / "store", source)
    (place / "outside").unlink()
    assert fill(tmp_path / "store", source) == place
    assert not (place / "outside").is_symlink()


def test_a_copy_that_was_interrupted_is_done_again(tmp_path: Path, source: Path) -> None:
    place = fill(tmp_path / "store", source)
    (place.parent / "filled").unlink()
    (place.parent / "filling").touch()
    (place / "inner" / "file").write_text("a par")
    (place / "outside").unlink()
    (place / "more").symlink_to("/etc")
    fill(tmp_path / "store", source)
    assert sorted(os.listdir(place)) == ["inner", "outside", "\udcff"]
    assert (place / "inner" / "file").read_bytes() == (source / "inner" / "file").read_bytes()
    assert sorted(os.listdir(place.parent)) == ["_data", "filled", "lock", "volume.json"]


def test_a_copy_that_fails_is_done_again(tmp_path: Path, source: Path) -> None:
    volume = Volume("volume", "data", "/data")
    place = Path(volumes.provide(str(tmp_path / "store"), volume))
    unreadable = os.open(source, os.O_PATH)
    os.close(unreadable)
    with pytest.raises(WherryError, match="cannot fill the volume data"):
        volumes.fill(str(tmp_path / "store"), volume, unreadable)
    assert not (place.parent / "filled").exists()
    (place / "a part").touch()
    fill(tmp_path / "store", source)
    assert sorted(os.listdir(place)) == ["inner", "outside", "\udcff"]


def test_a_volume_with_content_is_left_alone(tmp_path: Path, source: Path) -> None:
    place = tmp_path / "store" / "volumes" / "data" / "_data"
    place.mkdir(parents=True)
    (place / "mine").touch()
    fill(tmp_path / "store", source)
    assert os.listdir(place) == ["mine"]


def test_removal(tmp_path: Path, source: Path) -> None:
    trees.remove(str(source))
    trees.remove(str(source))
    assert not source.exists()
    assert sorted(os.listdir(tmp_path)) == []


def test_removal_that_cannot_be_is_told() -> None:
    with pytest.raises(WherryError, match="cannot delete /proc/self"):
        trees.remove("/proc/self/task")


def test_a_file_with_several_names_is_copied_once(tmp_path: Path) -> None:
    """busybox's /bin would be 500 MB otherwise."""
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "one").write_text("shared")
    os.link(source / "one", source / "inner" / "two")
    os.link(source / "one", source / "three")
    (source / "same").write_text("shared")
    place = fill(tmp_path / "store", source)
    one = (place / "one").stat()
    assert one.st_nlink == 3
    assert (place / "inner" / "two").stat().st_ino == one.st_ino == (place / "three").stat().st_ino
    assert (place / "same").stat().st_nlink == 1
    assert (place / "three").read_text() == "shared"


def test_an_image_s_folder_may_be_deeper_than_python_can_call(tmp_path: Path) -> None:
    source = tmp_path / "source"
    deep = os.path.join(source, *["d"] * 1200)
    subprocess.run(["mkdir", "-p", deep], check=True)
    Path(deep, "file").write_text("far down")
    place = fill(tmp_path / "store", source)
    assert Path(deep.replace(str(source), str(place), 1), "file").read_text() == "far down"
    trees.remove(str(tmp_path))
