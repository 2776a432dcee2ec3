"""Where two contents of a file differ, in the words of what they are."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wherry.build import insides


def told(one: bytes, other: bytes) -> str:
    return str(insides.difference(io.BytesIO(one), io.BytesIO(other)))


def zipped(time: int, text: str = "text", name: str = "a") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, time)), text)
        archive.writestr(zipfile.ZipInfo("last", (2026, 1, 2, 3, 4, 6)), "")
    return data.getvalue()


def tarred(*members: tuple[str, int, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, time, content in members:
            info = tarfile.TarInfo(name)
            info.mtime, info.size = time, len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def archived(time: int, content: bytes) -> bytes:
    head = f"{'x.o/':16}{time:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n"
    return b"!<arch>\n" + head.encode() + content + b"\n" * (len(content) % 2)


def program(build_id: bytes, rest: bytes = b"code") -> bytes:
    return b"\x7fELF" + bytes(60) + b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0" + build_id * 20 + b"\0" + rest


def compiled(time: int, code: bytes = b"code") -> bytes:
    return b"\xa7\r\r\n" + bytes(4) + time.to_bytes(4, "little") + b"size" + code


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n", 'line 2: "b", then "B"'),
        (b"a\n", b"a\nb\n", "there is more behind line 1"),
        (b"\0\1\2", b"\0\1\3", "from byte 2 on"),
        (b"\0\1\2", b"\0\1", "from byte 2 on"),
        (b"a\r\n", b"a\n", "from byte 1 on"),
        (gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2), "the time in its gzip header"),
        (
            gzip.compress(b"x\ny", mtime=1),
            gzip.compress(b"x\nz", mtime=2),
            'unpacked, line 2: "y", then "z"',
        ),
        (
            zipped(2),
            zipped(4),
            'the time of its member a: "2026-01-02 03:04:02", then "2026-01-02 03:04:04"',
        ),
        (zipped(2), zipped(4, "next"), 'member a, line 1: "text", then "next"'),
        (zipped(2), zipped(2, name="b"), "the list of its members"),
        (
            tarred(("a", 1, b""), ("b", 2, b"")),
            tarred(("b", 2, b""), ("a", 1, b"")),
            "the order of its members",
        ),
        (
            tarred(("a", 1, b"x")),
            tarred(("a", 2, b"x")),
            'the time of its member a: "00000000001", then "00000000002"',
        ),
        (
            gzip.compress(tarred(("a", 1, b"x")), mtime=0),
            gzip.compress(tarred(("a", 1, b"y")), mtime=0),
            'unpacked, member a, line 1: "x", then "y"',
        ),
        (archived(1, b"\0"), archived(2, b"\0"), 'the time of its member x.o/: "1", then "2"'),
        (archived(1, b"\0\1"), archived(1, b"\0\2"), "member x.o/, from byte 1 on"),
        (program(b"\1"), program(b"\2"), "the build ID of a program, and nothing else"),
        (program(b"\1"), program(b"\2", b"cope"), "a program: its build ID, and from byte 103 on"),
        (program(b"\1"), program(b"\1", b"cope"), "a program, from byte 103 on"),
        (
            program(b"\1", b"built at 10:20:30\0"),
            program(b"\2", b"built at 10:20:33\0"),
            'a program: its build ID, and from byte 117 on: "built at 10:20:30", then "built at 10:20:33"',
        ),
        (b"\0\1version 1\2", b"\0\1version 2\2", 'from byte 10 on: "version 1", then "version 2"'),
        (compiled(1), compiled(2), "the time of its source in compiled Python"),
        (compiled(1), compiled(1, b"cope"), "compiled Python code"),
    ],
)
def test_what_differs_is_told_in_the_words_of_the_format(one: bytes, other: bytes, text: str) -> None:
    assert told(one, other) == text


def test_of_long_lines_the_place_is_shown() -> None:
    one = "x" * 5000 + "one" + "y" * 5000
    assert told(one.encode(), one.replace("one", "two").encode()) == (
        f'line 1: "{"x" * 35}one{"y" * 31}…", then "{"x" * 35}two{"y" * 31}…"'
    )


def test_large_files_are_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insides, "_WHOLE", 1000)
    monkeypatch.setattr(insides, "_BLOCK", 100)
    start = b"a\n" * 2000
    assert told(start + b"x", start + b"y") == "from byte 4,000 on"
    assert told(start, start + b"y") == "from byte 4,000 on"


_STARTS = (
    b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"!<arch>\n", b"\x7fELF", b"\xa7\r\r\n", bytes(257) + b"ustar",
    b"!<arch>\n" + b" " * 48 + b"-60       `\n",
    bytes(124) + b"-0000002000\0" + bytes(121) + b"ustar",
)  # fmt: skip


@given(st.sampled_from(_STARTS), st.binary(max_size=200), st.binary(max_size=200))
@example(_STARTS[-1].replace(b"\0", b"a", 1), b"x" * 600, b"y" * 600)
@example(_STARTS[-2], b"x" * 100, b"y" * 100)
def test_whatever_it_is_something_is_told(start: bytes, one: bytes, other: bytes) -> None:
    """Of bytes that only begin as a format does, too."""
    if one != other:
        assert told(start + one, start + other)


_MADE: tuple[Callable[[], bytes], ...] = (
    lambda: gzip.compress(b"some text", mtime=3),
    lambda: zipped(2),
    lambda: tarred(("a", 1, b"x"), ("b", 2, b"y" * 600)),
    lambda: archived(1, b"abc"),
    lambda: program(b"\3"),
)


@given(st.sampled_from(_MADE), st.integers(0), st.integers(1, 255))
def test_one_byte_of_an_archive_is_enough(make: Callable[[], bytes], place: int, change: int) -> None:
    data = bytearray(make())
    data[place % len(data)] ^= change
    assert told(make(), bytes(data))
