"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.output.target import target


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"old")
    with target(str(path)) as sink:
        sink.write(b"new")
        sink.flush()
        assert path.read_bytes() == b"old"
        sink.finish()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), target(str(path)) as sink:
        sink.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    with target(str(path)) as sink:
        sink.write(b"never finished")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with target(str(tmp_path / "link")) as sink:
        sink.write(b"new")
        sink.finish()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_full_disk_is_named() -> None:
    with (
        pytest.raises(WherryError, match="cannot write /dev/full: No space left"),
        target("/dev/full") as sink,
    ):
        sink.write(b"x" * (1 << 20))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(WherryError, match="it is a folder"), target(str(tmp_path)):
        pass
    with pytest.raises(WherryError, match="No such file"), target(str(tmp_path / "no" / "a.tar")):
        pass


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with target(str(tmp_path / "pipe")) as sink:
        sink.write(b"through")
        sink.finish()
    assert os.read(reader, 100) == b"through"
    os.close(reader)
