"""Seccomp profiles of the user's: what they mean, and that the filter does what they say."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.filters import AARCH64, ALLOW, HEADERS, I386, X86_64, decide
from wherry.base.errors import Unsupported, UsageError
from wherry.runtime import syscalls
from wherry.runtime.filtering import compiled
from wherry.runtime.profiles import Profile, as_oci, parse

MACHINES = {"x86_64": (X86_64, I386), "aarch64": (AARCH64,)}
ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"]


def profile(*rules: dict[str, Any], default: str = "SCMP_ACT_ERRNO", **more: Any) -> str:
    return json.dumps({"defaultAction": default, "syscalls": list(rules), **more})


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def read(text: str, *capabilities: str, machine: str = "x86_64", kernel: tuple[int, int] = (6, 1)) -> Profile:
    return parse(text, capabilities, machine, kernel)


def decided(text: str, name: str, *arguments: int, architecture: int = X86_64) -> int:
    number = syscalls.numbers(architecture)[name]
    return decide(compiled(read(text)), architecture, number, *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_the_kernel_s(machine: str) -> None:
    for at, architecture in enumerate(MACHINES[machine]):
        header = HEADERS[machine, at]
        if not os.path.exists(header):
            pytest.skip(f"{header} is not here")
        named = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*\n", Path(header).read_text()))
        named.pop("arch_specific_syscall", None)
        named.pop("syscalls", None)
        ours = syscalls.numbers(architecture)
        for name, number in named.items():
            if machine == "x86_64" or name in ours:
                assert ours[name] == int(number), name
        assert len(set(ours.values())) == len(ours)
        assert max(ours.values()) == syscalls.NEWEST


def test_what_is_not_named_gets_the_default() -> None:
    text = profile(rule("read"), defaultErrnoRet=errno.EACCES)
    assert decided(text, "read") == ALLOW
    assert decided(text, "write") == errno.EACCES
    text = profile(rule("mount", action="SCMP_ACT_ERRNO", errnoRet=errno.ENOENT), default="SCMP_ACT_ALLOW")
    assert decided(text, "read") == ALLOW
    assert decided(text, "mount") == errno.ENOENT


def test_calls_that_nobody_knows_do_not_exist() -> None:
    refusing = compiled(read(profile(rule("read"))))
    assert decide(refusing, X86_64, syscalls.NEWEST + 1) == errno.ENOSYS
    allowing = compiled(read(profile(default="SCMP_ACT_ALLOW")))
    assert decide(allowing, X86_64, syscalls.NEWEST + 1) == ALLOW
    for filter_ in (refusing, allowing):
        assert decide(filter_, X86_64, 0x40000000) == errno.ENOSYS  # x32's read
        assert decide(filter_, AARCH64, 63) == errno.ENOSYS
        assert decide(filter_, I386, 3) == errno.ENOSYS  # not among the architectures


def test_architectures_of_the_map() -> None:
    both = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
    text = profile(rule("read"), archMap=[both, {"architecture": "SCMP_ARCH_AARCH64"}])
    assert decided(text, "read", architecture=I386) == ALLOW
    assert read(text).names == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")


def test_a_refused_call_is_refused_within_another_one() -> None:
    """A program of 32 bits makes sockets by socketcall too, whose arguments a filter cannot see."""
    vsock = {"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}
    rules = rule("socket", action="SCMP_ACT_ERRNO", args=[vsock]), rule("shmat", action="SCMP_ACT_ERRNO")
    text = profile(*rules, default="SCMP_ACT_ALLOW", architectures=ARCHITECTURES)
    assert decided(text, "socketcall", 1, architecture=I386) == errno.EPERM
    assert decided(text, "socketcall", 2, architecture=I386) == ALLOW
    assert decided(text, "ipc", 21, architecture=I386) == errno.EPERM
    assert decided(text, "ipc", 1 << 16 | 21, architecture=I386) == errno.EPERM
    assert decided(text, "ipc", 22, architecture=I386) == ALLOW


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.10"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {}, "includes": None}, True),
    ],
)
def test_conditions_of_rules(condition: dict[str, Any], holds: bool) -> None:
    text = profile(rule("read", **condition))
    assert bool(read(text, "CAP_CHOWN").rules) is holds


OPERATIONS = {
    "SCMP_CMP_EQ": lambda value, one, two: value == one,
    "SCMP_CMP_NE": lambda value, one, two: value != one,
    "SCMP_CMP_LT": lambda value, one, two: value < one,
    "SCMP_CMP_LE": lambda value, one, two: value <= one,
    "SCMP_CMP_GT": lambda value, one, two: value > one,
    "SCMP_CMP_GE": lambda value, one, two: value >= one,
    "SCMP_CMP_MASKED_EQ": lambda value, one, two: value & one == two,
}
words = st.one_of(st.integers(0, 3), st.sampled_from([2**32 - 1, 2**32, 2**32 + 1, 2**64 - 1]))
checks = st.fixed_dictionaries(
    {"index": st.integers(0, 5), "op": st.sampled_from(sorted(OPERATIONS)), "value": words, "valueTwo": words}
)
rules = st.fixed_dictionaries(
    {
        "names": st.lists(st.sampled_from(["read", "write", "clone", "nosuch"]), min_size=1, max_size=3),
        "action": st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]),
        "errnoRet": st.integers(1, 100),
        "args": st.lists(checks, max_size=3, unique_by=lambda check: check["index"]),
    }
)


@given(
    st.lists(rules, max_size=60),
    st.sampled_from(["read", "write", "clone", "getpid"]),
    st.tuples(*[words] * 6),
)
def test_the_filter_says_what_the_rules_say(
    some: list[dict[str, Any]], name: str, arguments: tuple[int, ...]
) -> None:
    """Of the rules of a call the first with conditions that hold, else the first without."""
    expected = errno.EPERM
    mine = [one for one in some if name in one["names"]]
    for one in sorted(mine, key=lambda one: not one["args"]):
        if all(
            OPERATIONS[arg["op"]](arguments[arg["index"]], arg["value"], arg["valueTwo"])
            for arg in one["args"]
        ):
            expected = ALLOW if one["action"] == "SCMP_ACT_ALLOW" else one["errnoRet"]
            break
    assert decided(profile(*some), name, *arguments) == expected


def test_two_checks_of_one_argument_are_alternatives() -> None:
    both = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (0, 8)]
    text = profile(rule("personality", args=both))
    assert [decided(text, "personality", value) for value in (0, 8, 9)] == [ALLOW, ALLOW, errno.EPERM]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is not an object"),
        ("{}", "no action None"),
        (profile({"names": ["read"]}), "no action None (the rule for read)"),
        (profile(rule()), "a rule names no calls"),
        (profile(default="SCMP_ACT_NOTIFY"), "SCMP_ACT_NOTIFY"),
        (profile(rule("read", args=[{"index": 6, "op": "SCMP_CMP_EQ"}])), "index is 6"),
        (profile(rule("read", args=[{"index": 0, "op": "="}])), "no comparison '='"),
        (profile(rule("read", args=[{"value": -1, "op": "SCMP_CMP_EQ"}])), "value is -1"),
        (profile(rule("read", args=[{"value": True, "op": "SCMP_CMP_EQ"}])), "value is True"),
        (profile(rule("nosuch", action="SCMP_ACT_ERRNO"), default="SCMP_ACT_ALLOW"), "'nosuch'"),
        (profile(flags=["SECCOMP_FILTER_FLAG_LOG"]), "SECCOMP_FILTER_FLAG_LOG"),
        (profile(listenerPath="/x"), "listenerPath"),
        (profile(rule("read", includes={"minKernel": "new"})), "minKernel"),
        (profile(rule("read", includes=[1])), "'includes'"),
        (profile(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "x"}]), "exclude each other"),
    ],
)
def test_what_is_no_profile(text: str, message: str) -> None:
    with pytest.raises((UsageError, Unsupported), match=re.escape(message)):
        read(text)


def test_what_is_too_long_for_a_filter() -> None:
    many = [rule("read", args=[{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]) for n in range(1000)]
    with pytest.raises(Unsupported, match="too many rules"):
        compiled(read(profile(*many)))


def test_as_an_oci_config() -> None:
    check = {"index": 1, "value": 2, "valueTwo": 0, "op": "SCMP_CMP_NE"}
    written = as_oci(read(profile(rule("read", args=[check]), defaultErrnoRet=38)))
    assert written == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [check]}],
    }
