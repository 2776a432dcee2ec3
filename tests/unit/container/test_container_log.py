"""The log: whole lines, every byte, the last lines, a disk that is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import WherryError
from wherry.container import log
from wherry.container.log import Record, Writer


def written(path: Path, *chunks: tuple[int, bytes]) -> str:
    writer = Writer(str(path))
    for stream, data in chunks:
        writer.write(stream, data)
    writer.close()
    return str(path)


def test_records_are_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "log", (1, b"on"), (2, b"err\n"), (1, b"e\ntwo\n\nthree"), (2, b"last"))
    assert [(record.stream, record.data) for record in log.read(path)] == [
        (2, b"err\n"), (1, b"one\n"), (1, b"two\n"), (1, b"\n"), (1, b"three"), (2, b"last"),
    ]  # fmt: skip
    assert set(json.loads(Path(path).read_bytes().splitlines()[0])) == {"time", "stream", "data"}


@given(chunks=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=40))))
def test_every_byte_comes_back(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, bytes]]
) -> None:
    path = written(tmp_path_factory.mktemp("log") / "log", *chunks)
    records = list(log.read(path))
    for stream in (1, 2):
        sent = b"".join(data for number, data in chunks if number == stream)
        assert b"".join(record.data for record in records if record.stream == stream) == sent
    assert [record.time for record in records] == sorted(record.time for record in records)


def test_long_lines_are_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "log", (1, b"x" * 100_000), (1, b"y\n"))
    data = [record.data for record in log.read(path)]
    assert max(map(len, data)) <= 16385
    assert b"".join(data) == b"x" * 100_000 + b"y\n"


def test_tail_and_since(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    lines = [
        json.dumps({"time": log.timestamp(number * 10**9), "stream": "stdout", "data": f"{number}\n"}) + "\n"
        for number in range(20_000)
    ]
    Path(path).write_text("".join(lines))
    for count in (0, 1, 2, 5000, 20_000, 30_000):
        assert [r.data for r in log.read(path, tail=count)] == [
            f"{number}\n".encode() for number in range(max(0, 20_000 - count), 20_000)
        ]
    assert [r.data for r in log.read(path, since=log.timestamp(19_998 * 10**9))] == [b"19998\n", b"19999\n"]
    assert list(log.read(path, tail=1, since=log.timestamp(10**15))) == []


def test_no_log_is_empty(tmp_path: Path) -> None:
    assert list(log.read(str(tmp_path / "none"))) == []


def test_damage_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("nonsense\n")
    with pytest.raises(WherryError, match="damaged"):
        list(log.read(str(tmp_path / "log")))


def test_follow_sees_what_comes(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    writer = Writer(path)
    ended = threading.Event()

    def write() -> None:
        for number in range(5):
            writer.write(1, f"{number}\n".encode())
            time.sleep(0.03)
        writer.close()
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    records = list(log.follow(path, over=ended.is_set))
    thread.join()
    assert [record.data for record in records] == [f"{number}\n".encode() for number in range(5)]


def test_full_disk_leaves_a_whole_log(tmp_path: Path) -> None:
    """A limit on the file's size stands for a full disk: part of a write fits, the rest does not."""
    path = str(tmp_path / "log")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            writer = Writer(path)
            writer.write(1, b"first\n")
            size = os.stat(path).st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
            try:
                writer.write(1, b"lost\n")
            except OSError:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                writer.write(1, b"second\n")
                writer.close()
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert [record.data for record in log.read(path)] == [b"first\n", b"5", b"second\n"]


def test_times_are_dockers() -> None:
    assert log.timestamp(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
    assert Record("t", 1, b"").stream == 1


@given(
    sizes=st.lists(st.integers(0, 300), max_size=60), largest=st.integers(100, 900), files=st.integers(1, 4)
)
def test_a_log_that_is_turned_over_keeps_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], largest: int, files: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path = str(folder / "log")
    sent = [b"%d %s\n" % (number, b"x" * size) for number, size in enumerate(sizes)]
    for part in (sent[:20], sent[20:]):
        writer = Writer(path, largest, files)
        writer.write(1, b"".join(part))
        writer.close()
    kept = [record.data for record in log.read(path)]
    assert kept == sent[len(sent) - len(kept) :]
    assert kept or not sent
    held = sorted(file.stat().st_size for file in folder.iterdir())
    assert len(held) <= files
    if len(kept) < len(sent):
        assert len(held) == files
    single = max((file.read_bytes().count(b"\n"), file.stat().st_size) for file in folder.iterdir())
    assert single[0] == 1 or held[-1] <= max(largest, 400)


def test_what_is_read_up_to_a_time(tmp_path: Path) -> None:
    lines = [
        json.dumps({"time": log.timestamp(number * 10**9), "stream": "stdout", "data": f"{number}\n"}) + "\n"
        for number in range(10)
    ]
    (tmp_path / "log").write_text("".join(lines))
    found = log.read(str(tmp_path / "log"), since=log.timestamp(3 * 10**9), until=log.timestamp(5 * 10**9))
    assert [record.data for record in found] == [b"3\n", b"4\n", b"5\n"]


def test_half_a_line_of_a_killed_monitor_goes(tmp_path: Path) -> None:
    path = written(tmp_path / "log", (1, b"one\n"))
    with open(path, "ab") as file:
        file.write(b'{"time": "20')
    assert [record.data for record in log.read(path)] == [b"one\n"]
    written(tmp_path / "log", (1, b"two\n"))
    assert [record.data for record in log.read(path)] == [b"one\n", b"two\n"]


@pytest.mark.needs("root")
def test_a_full_disk_says_how_much_is_missing(tmp_path: Path) -> None:
    """A disk of 64 KiB: what fits of each write stays, and it goes on when there is room again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        path = str(tmp_path / "log")
        writer = Writer(path)
        lines = [b"%04d %s\n" % (number, b"x" * 1000) for number in range(100)]
        with pytest.raises(OSError, match="No space left"):
            writer.write(1, b"".join(lines))
        with pytest.raises(OSError, match="No space left"):
            writer.write(2, b"more\n" * 1000)
        subprocess.run(["mount", "-o", "remount,size=256k", tmp_path], check=True)
        writer.write(1, b"after\n")
        writer.close()
        records = list(log.read(path))
        kept = [record.data for record in records if record.stream == 1]
        assert kept == [*lines[: len(kept) - 1], b"after\n"]
        assert 40 < len(kept) < 64
        missing = sum(int(record.data) for record in records if record.stream == log.LOST)
        have = sum(len(record.data) for record in records if record.stream != log.LOST)
        assert have + missing == sum(map(len, lines)) + 5000 + len("after\n")
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
