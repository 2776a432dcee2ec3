"""What forbids user namespaces, by the machine's settings, and what to do about it; maps of ids."""

from __future__ import annotations

import os
import sys

import pytest

from wherry.runtime.idmap import Range, allowing, around_own

APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
MOST = "/proc/sys/user/max_user_namespaces"


@pytest.mark.parametrize(
    ("machine", "command"),
    [
        ({}, ""),
        ({APPARMOR: "0", CLONE: "1", MOST: "63000"}, ""),
        ({CLONE: "0", MOST: "63000"}, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ({CLONE: "1", MOST: "0"}, "sudo sysctl -w user.max_user_namespaces=65536"),
    ],
)
def test_the_command_that_allows_them(machine: dict[str, str], command: str) -> None:
    assert allowing(lambda path: machine.get(path, "")) == command


def test_ubuntu_wants_a_profile_for_this_python() -> None:
    command = allowing(lambda path: "1" if path == APPARMOR else "")
    assert f"profile wherry {os.path.realpath(sys.executable)} flags=(unconfined) {{ userns, }}" in command
    assert command.endswith("&& sudo apparmor_parser -r /etc/apparmor.d/wherry")


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (1000, [(100000, 65536)], [(0, 100000, 1000), (1000, 1000, 1), (1001, 101000, 64536)]),
        (1, [(100000, 10)], [(0, 100000, 1), (1, 1, 1), (2, 100001, 9)]),
        (10, [(100000, 10)], [(0, 100000, 10), (10, 10, 1)]),
        (70000, [(100000, 65536)], [(0, 100000, 65536), (70000, 70000, 1)]),
        (10, [(100000, 10), (300000, 5)], [(0, 100000, 10), (10, 10, 1), (11, 300000, 5)]),
        (12, [(100000, 10), (300000, 5)], [(0, 100000, 10), (10, 300000, 2), (12, 12, 1), (13, 300002, 3)]),
    ],
)
def test_a_map_around_the_user_s_own_id(
    own: int, given: list[tuple[int, int]], expected: list[tuple[int, int, int]]
) -> None:
    ranges, inside = [Range(0, own, 1)], 1
    for outside, size in given:
        ranges.append(Range(inside, outside, size))
        inside += size
    assert [tuple(item) for item in around_own(tuple(ranges))] == expected
