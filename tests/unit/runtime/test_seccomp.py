"""The filter, run by a small BPF machine."""

from __future__ import annotations

import errno
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.filters import AARCH64, ALLOW, HEADERS, I386, NOTIFY, SUCCEED, X86_64, decide
from wherry.base.errors import Unsupported
from wherry.runtime.observed import FILES, SOCKETS
from wherry.runtime.seccomp import HEARD, PLAIN, profile, program, tables
from wherry.runtime.spec import DEFAULT_CAPABILITIES


@pytest.mark.parametrize(
    ("machine", "architecture", "number", "argument", "expected"),
    [
        ("x86_64", X86_64, 0, 0, ALLOW),  # read
        ("x86_64", X86_64, 59, 0, ALLOW),  # execve
        ("x86_64", X86_64, 466, 0, ALLOW),  # removexattrat
        ("x86_64", X86_64, 165, 0, errno.EPERM),  # mount
        ("x86_64", X86_64, 250, 0, errno.EPERM),  # keyctl
        ("x86_64", X86_64, 425, 0, errno.EPERM),  # io_uring_setup
        ("x86_64", X86_64, 435, 0, errno.ENOSYS),  # clone3: the C library tries clone
        ("x86_64", X86_64, 467, 0, errno.ENOSYS),
        ("x86_64", X86_64, 0x40000000, 0, errno.ENOSYS),  # x32
        ("x86_64", X86_64, 56, 0x01200011, ALLOW),  # clone, as fork does it
        ("x86_64", X86_64, 56, 0x10000011, errno.EPERM),  # CLONE_NEWUSER
        ("x86_64", X86_64, 56, 0x02000000, errno.EPERM),  # CLONE_NEWCGROUP
        ("x86_64", X86_64, 135, 0, ALLOW),  # personality
        ("x86_64", X86_64, 135, 0x8, ALLOW),
        ("x86_64", X86_64, 135, 0x20000, ALLOW),
        ("x86_64", X86_64, 135, 0x20008, ALLOW),
        ("x86_64", X86_64, 135, 0xFFFFFFFF, ALLOW),
        ("x86_64", X86_64, 135, 0x40000, errno.EPERM),  # no address randomisation
        ("x86_64", X86_64, 41, 2, ALLOW),  # socket
        ("x86_64", X86_64, 41, 40, errno.EPERM),  # AF_VSOCK
        ("x86_64", X86_64, 41, 1 << 32 | 40, errno.EPERM),  # the kernel looks at the low half
        ("x86_64", I386, 3, 0, ALLOW),  # read
        ("x86_64", I386, 21, 0, errno.EPERM),  # mount
        ("x86_64", I386, 120, 0x10000011, errno.EPERM),  # clone
        ("x86_64", I386, 165, 0, ALLOW),  # getresuid: mount's number elsewhere
        ("x86_64", AARCH64, 63, 0, errno.ENOSYS),
        ("aarch64", AARCH64, 63, 0, ALLOW),  # read
        ("aarch64", AARCH64, 40, 0, errno.EPERM),  # mount
        ("aarch64", AARCH64, 220, 0x10000011, errno.EPERM),  # clone
        ("aarch64", AARCH64, 198, 40, errno.EPERM),  # socket
        ("aarch64", AARCH64, 92, 0x20008, ALLOW),  # personality
        ("aarch64", X86_64, 0, 0, errno.ENOSYS),
    ],
)
def test_docker_s_decisions(
    machine: str, architecture: int, number: int, argument: int, expected: int
) -> None:
    assert decide(program(DEFAULT_CAPABILITIES, machine), architecture, number, argument) == expected


@pytest.mark.parametrize(("machine", "which"), HEADERS)
def test_the_numbers_are_the_kernel_s(machine: str, which: int) -> None:
    """For machines too on which no test can make the calls: a wrong number refuses something else."""
    if not os.path.exists(HEADERS[machine, which]):
        pytest.skip("needs linux-libc-dev")
    with open(HEADERS[machine, which], encoding="ascii") as file:
        found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+([0-9]+)", file.read())
    kernel = {name: int(number) for name, number in found}
    architecture, table = tables(machine)[which]
    known = {name: number for name, number in table.items() if name in kernel}
    assert len(known) > 45
    assert known == {name: kernel[name] for name in known}
    filter_ = program(DEFAULT_CAPABILITIES, machine)
    checked = {"clone", "personality", "socket"}
    for name, number in kernel.items():
        if number <= 450 and name not in checked:
            decision = decide(filter_, architecture, number)
            assert (decision == ALLOW) == (name not in table), name


def test_a_capability_allows_its_calls() -> None:
    admin = program((*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"), "x86_64")
    assert decide(admin, X86_64, 165) == ALLOW  # mount
    assert decide(admin, X86_64, 435) == ALLOW  # clone3
    assert decide(admin, X86_64, 56, 0x10000011) == ALLOW  # clone
    assert decide(admin, X86_64, 135, 0x40000) == errno.EPERM  # personality: the checks after clone's hold
    assert decide(admin, X86_64, 41, 40) == errno.EPERM  # socket
    assert decide(admin, X86_64, 250) == errno.EPERM  # keyctl
    assert decide(admin, I386, 21) == ALLOW
    time = program(("CAP_SYS_TIME",), "x86_64")
    assert decide(time, X86_64, 227) == ALLOW  # clock_settime
    assert decide(time, X86_64, 165) == errno.EPERM


@given(
    st.sampled_from([X86_64, I386, AARCH64, 0, 0xFFFFFFFF]),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**64 - 1),
    st.sets(st.sampled_from(["CAP_SYS_ADMIN", "CAP_SYS_NICE", "CAP_BPF", "CAP_SYS_TIME"])),
)
def test_every_call_is_decided(architecture: int, number: int, argument: int, capabilities: set[str]) -> None:
    for machine in ("x86_64", "aarch64"):
        answer = decide(program(tuple(sorted(capabilities)), machine), architecture, number, argument)
        assert answer in (ALLOW, errno.EPERM, errno.ENOSYS)
        if not 0 <= number <= 466:
            assert answer == errno.ENOSYS


def test_the_profile_by_names() -> None:
    rules = profile(DEFAULT_CAPABILITIES, "x86_64")["syscalls"]
    refused = {name: rule["errnoRet"] for rule in rules if not rule["args"] for name in rule["names"]}
    assert refused["mount"] == refused["keyctl"] == errno.EPERM
    assert refused["clone3"] == errno.ENOSYS
    assert "read" not in refused
    admin = profile(("CAP_SYS_ADMIN",), "x86_64")["syscalls"]
    assert {"mount", "clone", "clone3"}.isdisjoint(name for rule in admin for name in rule["names"])


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(Unsupported, match="no seccomp profile for the machine vax"):
        program((), "vax")


CHARACTER, BLOCK, PIPE, FILE = 0o020666, 0o060660, 0o010644, 0o100644


@pytest.mark.parametrize(
    ("machine", "architecture", "number", "arguments", "plain", "heard"),
    [
        ("x86_64", X86_64, 92, (), SUCCEED, NOTIFY),  # chown
        ("x86_64", X86_64, 260, (), SUCCEED, NOTIFY),  # fchownat
        ("x86_64", X86_64, 117, (), SUCCEED, NOTIFY),  # setresuid
        ("x86_64", X86_64, 116, (), SUCCEED, NOTIFY),  # setgroups
        ("x86_64", X86_64, 102, (), ALLOW, NOTIFY),  # getuid
        ("x86_64", X86_64, 118, (), ALLOW, NOTIFY),  # getresuid
        ("x86_64", X86_64, 126, (), ALLOW, ALLOW),  # capset
        ("x86_64", X86_64, 133, (0, CHARACTER), SUCCEED, NOTIFY),  # mknod
        ("x86_64", X86_64, 133, (0, BLOCK), SUCCEED, NOTIFY),
        ("x86_64", X86_64, 133, (0, PIPE), ALLOW, ALLOW),
        ("x86_64", X86_64, 133, (CHARACTER, FILE), ALLOW, ALLOW),
        ("x86_64", X86_64, 259, (0, 0, CHARACTER), SUCCEED, NOTIFY),  # mknodat
        ("x86_64", X86_64, 259, (0, CHARACTER, PIPE), ALLOW, ALLOW),
        ("x86_64", X86_64, 165, (), errno.EPERM, errno.EPERM),  # mount
        ("x86_64", X86_64, 56, (0x10000011,), errno.EPERM, errno.EPERM),  # clone
        ("x86_64", X86_64, 41, (40,), errno.EPERM, errno.EPERM),  # socket
        ("x86_64", X86_64, 0, (), ALLOW, ALLOW),
        ("x86_64", I386, 182, (), SUCCEED, NOTIFY),  # chown with 16-bit ids
        ("x86_64", I386, 212, (), SUCCEED, NOTIFY),  # chown32
        ("x86_64", I386, 92, (), ALLOW, ALLOW),  # truncate
        ("x86_64", I386, 14, (0, BLOCK), SUCCEED, NOTIFY),  # mknod
        ("aarch64", AARCH64, 54, (), SUCCEED, NOTIFY),  # fchownat
        ("aarch64", AARCH64, 33, (0, 0, BLOCK), SUCCEED, NOTIFY),  # mknodat
        ("aarch64", AARCH64, 174, (), ALLOW, NOTIFY),  # getuid
        ("aarch64", AARCH64, 40, (), errno.EPERM, errno.EPERM),  # mount
    ],
)
def test_calls_about_ids_are_answered(
    machine: str, architecture: int, number: int, arguments: tuple[int, ...], plain: int, heard: int
) -> None:
    for ids, expected in (("", None), (PLAIN, plain), (HEARD, heard)):
        found = decide(program(DEFAULT_CAPABILITIES, machine, ids), architecture, number, *arguments)
        if expected is not None:
            assert found == expected
        else:
            assert found == (ALLOW if plain == SUCCEED or heard == NOTIFY else plain)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_longest_filter_can_be_written(machine: str) -> None:
    """A jump goes 255 instructions far, and without any capability most calls are refused."""
    assert program((), machine, HEARD, FILES)


@pytest.mark.parametrize("what", [FILES, SOCKETS])
@pytest.mark.parametrize(
    ("machine", "architecture", "number"),
    [("x86_64", X86_64, 41), ("x86_64", I386, 359), ("aarch64", AARCH64, 198)],
)
@pytest.mark.parametrize(
    ("family", "expected"),
    [(2, NOTIFY), (10, NOTIFY), (17, NOTIFY), (1, ALLOW), (16, ALLOW), (38, ALLOW), (40, errno.EPERM)],
)
def test_sockets_that_lead_to_a_network_are_heard(
    what: str, machine: str, architecture: int, number: int, family: int, expected: int
) -> None:
    heard = program(DEFAULT_CAPABILITIES, machine, observed=what)
    assert decide(heard, architecture, number, family) == expected
    assert decide(heard, architecture, number, 1 << 32 | family) == expected


def test_without_files_sockets_alone_are_heard() -> None:
    alone = program(DEFAULT_CAPABILITIES, "x86_64", observed=SOCKETS)
    assert decide(alone, I386, 102) == NOTIFY  # socketcall
    assert decide(alone, X86_64, 257) == decide(alone, I386, 5) == ALLOW  # openat, open
    files = program(DEFAULT_CAPABILITIES, "x86_64", observed=FILES)
    assert decide(files, X86_64, 257) == decide(files, I386, 5) == NOTIFY


def test_without_the_profile_calls_about_ids_are_answered_alone() -> None:
    alone = program((), "x86_64", HEARD, is_confined=False)
    assert decide(alone, X86_64, 92) == NOTIFY  # chown
    assert decide(alone, X86_64, 133, 0, CHARACTER) == NOTIFY  # mknod
    for number in (0, 165, 435, 467, 0x40000000):
        assert decide(alone, X86_64, number) == ALLOW
    assert decide(alone, AARCH64, 92) == ALLOW
