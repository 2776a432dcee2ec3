"""How this machine can execute another platform's programs: by itself, or by qemu's user emulation.

The kernel hands foreign programs to emulators that are registered in binfmt_misc (kernel documentation,
binfmt-misc.rst). Where it can, wherry registers one for a single container (`init/emulator.py`), so that
nothing of the host is changed and nothing has to be set up. Else a registration of the host's will do, if it
has the flag F: such an emulator is opened once, and not looked for below the container's root.
"""

from __future__ import annotations

import os
from typing import Literal

from wherry.base.errors import Unsupported
from wherry.base.tuples import NamedTuple
from wherry.base.which import which
from wherry.oci.platform import Platform, host
from wherry.runtime.init import linux, programs
from wherry.runtime.spec import Emulator

_REGISTRATIONS = "/proc/sys/fs/binfmt_misc"
_NATIVE = {"amd64": ("amd64", "386"), "arm64": ("arm64", "arm")}
_HAS_NAMESPACES = (6, 7)
"""The first Linux whose user namespaces have registrations of their own."""
_FLAGS = "POCF"
"""argv[0] stays, the program comes as a descriptor and with its set-user-ID, the emulator is opened once."""


class Machine(NamedTuple):
    """What qemu calls a machine, and how its programs begin: e_machine, bits and byte order (elf(5))."""

    name: str
    number: int
    bits: int = 64
    order: Literal["little", "big"] = "little"


_MACHINES = {
    "amd64": Machine("x86_64", 62),
    "386": Machine("i386", 3, 32),
    "arm64": Machine("aarch64", 183),
    "arm": Machine("arm", 40, 32),
    "loong64": Machine("loongarch64", 258),
    "mips64le": Machine("mips64el", 8),
    "ppc64le": Machine("ppc64le", 21),
    "riscv64": Machine("riscv64", 243),
    "s390x": Machine("s390x", 22, 64, "big"),
}


def find(
    platform: Platform, *, own: bool, path: str | None = None, folder: str = _REGISTRATIONS
) -> Emulator | None:
    """The emulator that a container for `platform` has to be given; None where it needs none.

    `own`: the runtime can give one. `path` is searched for it, else $PATH. Raises Unsupported where programs
    of the platform cannot be executed here.
    """
    here = host()
    if platform.os != here.os:
        raise Unsupported(f"this machine executes programs for {here.os} alone, not for {platform}")
    if platform.architecture in _native():
        return None
    architecture = here.architecture
    machine = _MACHINES.get(platform.architecture)
    if machine is None:
        raise Unsupported(f"wherry knows no emulator for {platform}")
    problem, hint = _RUNTIME, REGISTER
    if own:
        problem, hint = "there is no static qemu for it", _INSTALL
        program = _program(machine, path)
        if program and linux.release() >= _HAS_NAMESPACES:
            return Emulator(program, _registration(machine, program))
        if program:
            problem, hint = "this kernel is older than 6.7, and has no emulator registered", REGISTER
    if _is_registered(machine, folder):
        return None
    raise Unsupported(
        f"this machine ({architecture}) cannot execute programs for {platform}: {problem}", hint=hint
    )


def executable(*, own: bool) -> tuple[list[str], list[str]]:
    """The platforms whose programs this machine executes by itself, its own first, and by emulators."""
    emulated = []
    for architecture in _MACHINES:
        platform = Platform(host().os, architecture)
        try:
            find(platform, own=own)
        except Unsupported:
            continue
        if architecture not in _native():
            emulated.append(str(platform))
    return [str(Platform(host().os, architecture)) for architecture in _native()], emulated


def _native() -> tuple[str, ...]:
    here = host().architecture
    return _NATIVE.get(here, (here,))


_RUNTIME = "here this needs an emulator that is registered with the kernel"
_INSTALL = "sudo apt-get install qemu-user-static"
REGISTER = "register emulators for all of the machine: sudo apt-get install qemu-user-static binfmt-support"


def _program(machine: Machine, path: str | None) -> str:
    """The static emulator; "" where there is none. One that needs libraries finds none in an image."""
    for name in (f"qemu-{machine.name}-static", f"qemu-{machine.name}"):
        found = which(name, path=path)
        if found and is_static(found):
            return os.path.realpath(found)
    return ""


def is_static(path: str) -> bool:
    try:
        return not programs.interpreter(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except (OSError, ValueError):
        return False


def _registration(machine: Machine, path: str) -> bytes:
    """Of all programs and libraries for the machine, whatever system interface they name (EI_OSABI)."""
    order = machine.order
    start = b"\x7fELF" + bytes((machine.bits // 32, 1 if order == "little" else 2, 1)) + bytes(9)
    start += (2).to_bytes(2, order) + machine.number.to_bytes(2, order)
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + (0xFFFE).to_bytes(2, order) + b"\xff\xff"
    words = [b"", machine.name.encode(), b"M", b"0", _escaped(start), _escaped(mask), os.fsencode(path)]
    return b":".join((*words, _FLAGS.encode()))


def _escaped(data: bytes) -> bytes:
    return "".join(f"\\x{byte:02x}" for byte in data).encode()


def _is_registered(machine: Machine, folder: str) -> bool:
    try:
        with open(os.path.join(folder, f"qemu-{machine.name}"), encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags.partition(":")[2]
