"""What forbids user namespaces, by the machine's settings, and what to do about it."""

from __future__ import annotations

import os
import sys

import pytest

from wherry.runtime.idmap import allowing

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
