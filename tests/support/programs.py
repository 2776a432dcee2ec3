"""Programs that tests use. In CI a missing one is a failure, elsewhere the test is skipped."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

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


def path_without(place: Path, *programs: str) -> dict[str, str]:
    """An environment in whose PATH, a new folder `place`, some programs are not found."""
    place.mkdir()
    for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for name in os.listdir(folder):
            link = place / name
            if name not in programs and not link.is_symlink():
                link.symlink_to(f"{folder}/{name}")
    return {"PATH": str(place)}
