"""The compiled part of the listener puts down what the Python one does, whatever a process asks for.

The calls are made for real, in a root of their own, below the filter that a RUN has.
"""

from __future__ import annotations

import ctypes
import marshal
import mmap
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support import folders, programs
from wherry.runtime import observed, seccomp
from wherry.runtime.init import hearing, linux
from wherry.runtime.init.listener import Listener

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}.get(os.uname().machine, 0)
TABLE = {
    number: call for (architecture, number), call in observed.calls().items() if architecture == ARCHITECTURE
}
SOCKET = observed.makers(ARCHITECTURE)["socket"]
NUMBERS = {call: number for number, call in TABLE.items()}
CWD, FOLDER, GONE, NOTHING = 0xFFFFFF9C, 200, 201, 299
"""Of the folders: the working one, `/d`, one that was removed, and none."""
LONGEST = 4095
PAGE = mmap.PAGESIZE


class Said(NamedTuple):
    """A name, and where it lies: anywhere, at the very end of what memory there is, or without its end."""

    text: bytes
    place: str = "anywhere"


class Asked(NamedTuple):
    number: int
    folder: int
    name: Said
    other: Said
    flags: int


def call_number(name: str) -> int:
    return NUMBERS[observed.CALLS[name]]


def elf(loader: bytes, size: int = 56, offset: int = 120, kind: int = 3, length: int | None = None) -> bytes:
    """A program for no machine: its header, a row that names its loader, and the loader."""
    header = struct.pack("=4sB11xHHIQQQIHHH6x", b"\x7fELF", 2, 2, 0, 1, 0, 64, 0, 0, 64, size, 1)
    row = struct.pack("=IIQQQQQQ", kind, 4, offset, 0, 0, len(loader) if length is None else length, 0, 1)
    return header + row + loader


PROGRAMS = {
    "script": b"#!/a -x\n",
    "words": b"#! \t /p/script  a b\n",
    "nothing": b"#!\n",
    "endless": b"#!/" + b"x" * 400,
    "zero": b"#!/a\0b\n",
    "itself": b"#!/p/itself\n",
    "relative": b"#!../a\r\n",
    "folder": b"#!/d\n",
    "elf": elf(b"/p/script\0"),
    "static": elf(b"", kind=1),
    "unnamed": elf(b"\0\0"),
    "inner": elf(b"/a\0b\0"),
    "rows": elf(b"/a\0", size=57),
    "far": elf(b"/a\0", offset=1 << 63),
    "behind": elf(b"/a\0", offset=5000),
    "long": elf(b"/" * 5000 + b"\0"),
    "longer": elf(b"/a\0", length=1 << 62),
    "32": b"\x7fELF\1" + bytes(100),
    "cut": elf(b"/a\0")[:100],
    "short": b"\x7fEL",
    "empty": b"",
}


texts = st.one_of(
    st.sampled_from([b"/p/" + os.fsencode(name) for name in PROGRAMS]),
    st.sampled_from(
        (b"", b"/", b".", b"..", b"a", b"/a", b"/d", b"d/a", b"../a", b"/cache/l", b"/cache/f", b"l", b"//a")
    ),
    st.sampled_from((b"x" * 255, b"x" * 256, b"/" * LONGEST, b"/" * (LONGEST + 1), b"y" * LONGEST)),
    st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"")),
    st.lists(st.sampled_from((b"a", b"d", b"new", b"p", b"script", b"..", b"cache")), max_size=4).map(
        b"/".join
    ),
)
said = st.builds(Said, texts, st.sampled_from(("anywhere", "anywhere", "last", "endless", "nowhere")))
flags = st.lists(
    st.sampled_from(
        (os.O_CREAT, os.O_EXCL, os.O_NOFOLLOW, os.O_DIRECTORY, 0x100, 0x400, 0x1000, 1, 2, 1 << 40)
    ),
    max_size=3,
).map(lambda bits: sum(set(bits)))
asked = st.builds(
    Asked,
    st.sampled_from(sorted([*TABLE, SOCKET])),
    st.sampled_from((CWD, CWD | 0xFFFFFFFF << 32, FOLDER, GONE, NOTHING)),
    said,
    said,
    flags,
)  # fmt: skip


def make_root(root: Path) -> None:
    (root / "d" / "gone").mkdir(parents=True)
    (root / "cache").mkdir()
    (root / "a").write_text("1")
    (root / "d" / "a").write_text("2")
    (root / "p").mkdir()
    for name, content in PROGRAMS.items():
        (root / "p" / name).write_bytes(content)
        (root / "p" / name).chmod(0o755)
    (root / "cache" / "f").write_text("3")
    (root / "cache" / "l").symlink_to("../a")
    (root / "d" / "l").symlink_to("/d")


class Memory:
    """What the calls refer to. Behind its last page there is nothing."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._kept: list[Any] = []

    def name(self, name: Said) -> int:
        if name.place == "nowhere":
            return 8
        text = name.text + b"\0" * (name.place != "endless")
        if name.place == "anywhere":
            return self.data(text)
        size = -(-max(len(text), 1) // PAGE) * PAGE
        pages = mmap.mmap(-1, size + PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        pages[size - len(text) : size] = text
        self._libc.mprotect(ctypes.c_void_p(start + size), PAGE, 0)
        self._kept.append(pages)
        return start + size - len(text)

    def data(self, data: bytes) -> int:
        self._kept.append(ctypes.create_string_buffer(data, max(len(data), 1)))
        return ctypes.addressof(self._kept[-1])


def arguments(one: Asked, memory: Memory) -> list[int]:
    found = [0o700] * 6
    if one.number == SOCKET:
        return found
    call = TABLE[one.number]
    if call.folder >= 0:
        found[call.folder] = one.folder
    if call.path >= 0:
        found[call.path] = memory.name(one.name)
    if call.second[0] >= 0:
        found[call.second[0]] = one.folder
    if call.second[1] >= 0:
        found[call.second[1]] = memory.name(one.other)
    if call.flags >= 0:
        found[call.flags] = one.flags
    if call.effect == "address":
        address = b"\1\0" + one.name.text[:90]
        found[1:3] = [memory.data(address), len(address)]
    elif call.effect == "open2":
        found[2:4] = [memory.data(struct.pack("=QQQ", one.flags & 0xFFFFFFFF, 0, one.flags >> 4 & 0x10)), 24]
    return found


def ask(asked: Sequence[Asked], root: Path, channel: socket.socket) -> None:
    """In a process of its own."""
    os.chroot(root)
    os.chdir("/d")
    os.dup2(os.open("/d", os.O_RDONLY), FOLDER)
    os.dup2(os.open("/d/gone", os.O_RDONLY), GONE)
    os.rmdir("/d/gone")
    memory = Memory()
    prepared = [(one.number, arguments(one, memory)) for one in asked]
    listener = linux.filter_and_listen(seccomp.program((), observed=observed.FILES, is_confined=False))
    socket.send_fds(channel, [b"x"], [listener])
    os.close(listener)
    for number, words in prepared:
        if number in TABLE and TABLE[number].effect == "execute":
            child = os.fork()
            if not child:
                call(number, words)
                os._exit(0)
            os.waitpid(child, 0)
        else:
            call(number, words)


def call(number: int, words: list[int]) -> None:
    try:
        linux.call(number, *words)
    except OSError:
        pass


def listen(listener: int, result: Path, compiled: bool, has_caches: bool) -> None:
    """In a process of its own."""
    os.dup2(listener, 0)
    order = {
        "calls": {key: tuple(call) for key, call in observed.calls().items()},
        "sockets": observed.networks(),
        "has_caches": has_caches,
        "result": str(result),
        "compiled": compiled,
    }
    server = Listener({"observed": order})
    server.serve()
    server.finish()


def forked(work: Any, *arguments: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work(*arguments)
        os._exit(0)
    finally:
        os._exit(1)


def heard(asked: Sequence[Asked], compiled: bool, root: Path, has_caches: bool = False) -> Any:
    """What is put down of the calls. `root` is made, and removed again."""
    result = root.with_suffix(".result")
    try:
        make_root(root)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            asking = forked(ask, asked, root, theirs)
            _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
            listening = forked(listen, listener, result, compiled, has_caches)
            os.close(listener)
        assert [os.waitpid(pid, 0)[1] for pid in (asking, listening)] == [0, 0]
        return marshal.loads(result.read_bytes())
    finally:
        shutil.rmtree(root)
        result.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def compiled() -> Iterator[None]:
    if hearing.load() is None:
        programs.lack("the listener was not compiled: pip install --editable .")
    yield


@pytest.mark.needs("root")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([Asked(number, CWD, Said(b"new"), Said(b"../newer"), 0) for number in sorted(TABLE)], True)
@example([Asked(number, FOLDER, Said(b"/a", "last"), Said(b"a" * 300), 2) for number in sorted(TABLE)], False)
@example(
    [Asked(call_number("execve"), CWD, Said(b"/p/" + os.fsencode(name)), Said(b""), 0) for name in PROGRAMS],
    False,
)
@given(st.lists(asked, max_size=12), st.booleans())
def test_it_puts_down_what_the_python_one_does(asked: list[Asked], has_caches: bool) -> None:
    with tempfile.TemporaryDirectory(dir=folders.fast()) as scratch:
        root = Path(scratch, "root")  # the same for both: it is in the names that they put down
        assert heard(asked, True, root, has_caches) == heard(asked, False, root, has_caches)


@pytest.mark.needs("root")
def test_it_puts_down_names_as_they_were_said(tmp_path: Path) -> None:
    """Not compared with anything: two that put down nothing would be the same too."""
    root = tmp_path / "root"
    at = os.fsencode(root)
    seen, changes, problem, networked = heard(
        [
            Asked(call_number("openat"), CWD, Said(b"a"), Said(b""), 0),
            Asked(call_number("openat"), GONE, Said(b"a"), Said(b""), os.O_NOFOLLOW),
            Asked(call_number("mkdirat"), CWD, Said(b"/new"), Said(b""), 0),
            Asked(call_number("faccessat"), CWD, Said(b"/new"), Said(b""), 0),
            Asked(call_number("symlinkat"), FOLDER, Said(b"s"), Said(b"../to"), 0),
            Asked(call_number("renameat2"), FOLDER, Said(b"s"), Said(b"t"), 0),
        ],
        True,
        root,
    )
    assert seen == {
        (b"", at + b"/d/a"): 5,
        (b"", at + b"/d/gone/a"): 5 << 3,
        (b"", b"/new"): 1 << 3 | 1,
        (b"", at + b"/d/s"): 1 << 3 | 7 << 3,
        (b"", at + b"/d/t"): 7 << 3,
    }
    assert changes == [
        ("made", b"/new", b"", b""),
        ("linked", at + b"/d/s", b"../to", b""),
        ("moved", at + b"/d/s", at + b"/d/t", b""),
    ]
    assert (problem, networked) == ("", False)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("program", "opened"),
    [
        ("script", [b"/a"]),
        ("words", [b"/p/script", b"/a"]),
        ("endless", [b"/" + b"x" * 253]),
        ("elf", [b"/p/script", b"/a"]),
        ("static", []),
        ("32", []),
    ],
)
def test_what_the_kernel_opens_for_a_program(program: str, opened: list[bytes], tmp_path: Path) -> None:
    name = b"/p/" + os.fsencode(program)
    root = tmp_path / "root"
    seen, *_ = heard([Asked(call_number("execve"), CWD, Said(name), Said(b""), 0)], True, root)
    assert [path.removeprefix(os.fsencode(root)) for _, path in seen] == [name, *opened]


@pytest.mark.needs("root")
def test_more_names_than_it_has_room_for_at_first(tmp_path: Path) -> None:
    asked = [
        Asked(call_number("openat"), CWD, Said(b"/%06d" % number), Said(b""), 0) for number in range(9000)
    ]
    seen, *_ = heard(asked, True, tmp_path / "root")
    assert len(seen) == 9000


@pytest.mark.parametrize("library", ["/nothing/there.so", "libc.so.6"])
def test_what_was_not_compiled_or_is_something_else_is_not_used(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "LIBRARY", library)
    assert hearing.load() is None
