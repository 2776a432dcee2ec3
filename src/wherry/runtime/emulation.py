"""Whether this machine can execute another platform's programs: by itself, or by an emulator it knows of.

The kernel hands foreign programs to emulators that are registered in binfmt_misc (kernel documentation,
binfmt-misc.rst). Only a registration with the flag F works in a container: the emulator is opened then, and
not looked for below the container's root.
"""

from __future__ import annotations

import os

from wherry.base.errors import Unsupported
from wherry.oci.platform import Platform, host

_REGISTRATIONS = "/proc/sys/fs/binfmt_misc"
_NATIVE = {"amd64": {"amd64", "386"}, "arm64": {"arm64", "arm"}}
_QEMU = {
    "amd64": "x86_64",
    "386": "i386",
    "arm64": "aarch64",
    "arm": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}


def check(platform: Platform, folder: str = _REGISTRATIONS) -> None:
    """Unsupported where programs of `platform` cannot be executed here."""
    here = host().architecture
    if platform.architecture in _NATIVE.get(here, {here}) or _is_registered(platform, folder):
        return
    raise Unsupported(
        f"this machine ({here}) cannot execute programs for {platform}",
        hint="install an emulator with its registration: apt-get install qemu-user-static binfmt-support",
    )


def _is_registered(platform: Platform, folder: str) -> bool:
    name = _QEMU.get(platform.architecture)
    try:
        with open(os.path.join(folder, f"qemu-{name}"), encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags.partition(":")[2]
