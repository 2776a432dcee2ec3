"""What a process with one id is told of its ids: beside the kernel's own answers to root."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherry.runtime.init.credentials import Credentials, Ids, Refused, answer
from wherry.runtime.init.memory import Memory

NONE = 0xFFFFFFFF
NUMBERS = {  # x86-64
    "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setresuid": 117, "setresgid": 119,
    "setfsuid": 122, "setfsgid": 123,
}  # fmt: skip
ARGUMENTS = {"setuid": 1, "setreuid": 2, "setresuid": 3, "setfsuid": 1}

Call = tuple[str, tuple[int, ...]]
ids = st.sampled_from([0, 5, 6, 7, NONE])
calls = st.lists(
    st.sampled_from(sorted(ARGUMENTS)).flatmap(
        lambda name: st.tuples(st.just(name), st.tuples(*(ids for _ in range(ARGUMENTS[name]))))
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def process() -> Iterator[int]:
    """Somebody whose ids are asked for."""
    pid = os.fork()
    if not pid:
        signal.pause()
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def by_kernel(made: list[Call]) -> list[tuple[int, tuple[int, ...]]]:
    """For each call its result or negative error number, and the four ids after it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            for name, arguments in made:
                result = libc.syscall(NUMBERS[name], *map(ctypes.c_uint, arguments))
                with open("/proc/thread-self/status") as file:
                    line = next(line for line in file if line.startswith("Uid:" if "uid" in name else "Gid:"))
                result = -ctypes.get_errno() if result < 0 else result
                os.write(writer, f"{result} {' '.join(line.split()[1:])}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        rows = [tuple(map(int, line.split())) for line in pipe]
    os.waitpid(child, 0)
    return [(row[0], row[1:]) for row in rows]


def by_us(made: list[Call], pid: int) -> list[tuple[int, tuple[int, ...]]]:
    table, memory = Credentials(0, 0, ()), Memory()
    table.set(pid, table.first)
    found: list[tuple[int, tuple[int, ...]]] = []
    for name, arguments in made:
        try:
            result = answer(name, (*arguments, 0, 0, 0, 0, 0)[:6], pid, table, memory)
        except Refused as refused:
            result = -refused.number
        own = table.of(pid)
        found.append((result, own.user if "uid" in name else own.group))
    return found


@pytest.mark.needs("root")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls' numbers are those of x86-64")
@settings(max_examples=80, deadline=None)
@given(made=calls)
@example(made=[("setresuid", (5, 0, 5)), ("setfsuid", (5,)), ("setresuid", (5, NONE, 5))])
def test_users_change_as_the_kernel_has_it(made: list[Call]) -> None:
    pid = os.getpid()
    before = resource.getrlimit(resource.RLIMIT_RSS)
    try:
        assert by_us(made, pid) == by_kernel(made)
    finally:
        resource.setrlimit(resource.RLIMIT_RSS, before)


@pytest.mark.needs("root")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls' numbers are those of x86-64")
@settings(max_examples=40, deadline=None)
@given(made=calls)
def test_groups_of_root_change_as_the_kernel_has_it(made: list[Call]) -> None:
    of_groups = [(name.replace("uid", "gid"), arguments) for name, arguments in made]
    pid = os.getpid()
    before = resource.getrlimit(resource.RLIMIT_RSS)
    try:
        assert by_us(of_groups, pid) == by_kernel(of_groups)
    finally:
        resource.setrlimit(resource.RLIMIT_RSS, before)


def test_a_child_has_the_ids_of_its_parent_and_keeps_them() -> None:
    """Without anybody being told of the fork: the mark is the kernel's to pass on."""
    table = Credentials(0, 0, (0,))
    reader, writer = os.pipe()
    parent = os.fork()
    if not parent:
        os.read(reader, 1)
        child = os.fork()
        if child:
            os.write(writer, str(child).encode())
        signal.pause()
    table.set(parent, Ids((5, 5, 5, 5), (6, 6, 6, 6), (6, 7)))
    os.write(writer, b"!")
    while len(os.listdir(f"/proc/{parent}/task")) and not (
        children := open(f"/proc/{parent}/task/{parent}/children").read().split()  # noqa: SIM115
    ):
        pass
    child = int(children[0])
    try:
        table.set(parent, table.first)
        assert (table.of(child).user, table.of(child).groups) == ((5, 5, 5, 5), (6, 7))
        assert table.of(parent) is table.first
    finally:
        for pid in (child, parent):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(parent, 0)
        os.close(reader)
        os.close(writer)


def test_root_that_was_left_does_not_come_back(process: int) -> None:
    """apt makes sure of it."""
    table, memory = Credentials(0, 0, (0,)), Memory()
    for name, value in (("setgroups", 0), ("setgid", 6), ("setuid", 5)):
        assert answer(name, (value, 0, 0, 0, 0, 0), process, table, memory) == 0
    for name in ("setuid", "setgid", "setgroups"):
        with pytest.raises(Refused) as refused:
            answer(name, (0, 0, 0, 0, 0, 0), process, table, memory)
        assert refused.value.number == errno.EPERM
    assert answer("getuid", (0,) * 6, process, table, memory) == 5


def test_groups_may_be_left_after_the_user(process: int) -> None:
    """setpriv does so: it keeps its capabilities while it changes its user."""
    table, memory = Credentials(0, 0, (0, 4)), Memory()
    assert answer("setuid", (5, 0, 0, 0, 0, 0), process, table, memory) == 0
    assert answer("setresgid", (6, 6, 6, 0, 0, 0), process, table, memory) == 0
    assert answer("setgroups", (0, 0, 0, 0, 0, 0), process, table, memory) == 0
    assert table.of(process).groups == ()


def test_ids_of_sixteen_bits(process: int) -> None:
    table, memory = Credentials(0, 0, ()), Memory()
    assert answer("setresuid16", (0x10005, 0xFFFF, 0x7FFF0007, 0, 0, 0), process, table, memory) == 0
    assert table.of(process).user[:3] == (5, 0, 7)


def test_who_may_give_what() -> None:
    app = Ids((5, 5, 5, 5), (6, 6, 6, 6), (6, 7))
    assert app.may_give(5, 7)
    assert app.may_give(NONE, 6)
    assert not app.may_give(0, 6)
    assert not app.may_give(5, 0)
    assert Ids((0, 0, 0, 0), (6, 6, 6, 6), ()).may_give(0, 99)
