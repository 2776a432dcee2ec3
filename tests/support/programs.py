"""Programs that tests use. In CI a missing one is a failure, elsewhere the test is skipped."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

PACKAGES = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "docker-registry": "docker-registry",
    "newuidmap": "uidmap",
    "pasta": "passt",
    "qemu-aarch64-static": "qemu-user-static",
}
"""Debian's packages, where they are not named as their programs are."""


def require(*names: str) -> None:
    """`root` asks for root itself; any other name is a program."""
    for name in names:
        if name == "root":
            if os.geteuid() != 0:
                lack("this test must be run as root")
        elif shutil.which(name, path=search_path()) is None:
            lack(f"{name} is not installed: apt-get install {PACKAGES.get(name, name)}")


def lack(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def search_path() -> str:
    """PATH, the virtual environment, and what an ordinary user's PATH may lack."""
    here = os.path.dirname(sys.executable)
    return os.pathsep.join([here, os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
