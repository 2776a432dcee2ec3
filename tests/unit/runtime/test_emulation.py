from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from support import foreign
from wherry.base.errors import Unsupported
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform, host
from wherry.runtime import emulation
from wherry.runtime.emulation import find

FOREIGN = Platform("linux", "s390x")


def test_the_machines_own_programs() -> None:
    assert find(host(), own=True, path="") is None


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: OCF\n", True),
        ("enabled\ninterpreter /usr/bin/qemu-s390x\nflags: \n", False),
        ("disabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_registration_of_the_machines_has_to_work_in_containers(
    tmp_path: Path, text: str | None, works: bool
) -> None:
    if text is not None:
        (tmp_path / "qemu-s390x").write_text(text)
    for own in (True, False):
        if works:
            assert find(FOREIGN, own=own, path="", folder=str(tmp_path)) is None
        else:
            with pytest.raises(Unsupported, match="cannot execute programs for linux/s390x"):
                find(FOREIGN, own=own, path="", folder=str(tmp_path))


@pytest.mark.parametrize("text", ["windows/amd64", "darwin/arm64", "linux/sparc64"])
def test_what_no_emulator_is_for(text: str) -> None:
    with pytest.raises(Unsupported, match=f"for {text}"):
        find(platforms.parse(text), own=True)


def elf(number: int, bits: int, order: Literal["little", "big"]) -> bytes:
    """As programs for a machine begin (elf(5)), of a system interface of their own."""
    start = b"\x7fELF" + bytes((bits // 32, 1 if order == "little" else 2, 1, 3)) + bytes(8)
    return start + (3).to_bytes(2, order) + number.to_bytes(2, order)


def test_what_is_registered(tmp_path: Path) -> None:
    """Every other machine's programs, each by its own line alone, no longer than the kernel takes."""
    starts = {name: elf(*machine[1:]) for name, machine in emulation._MACHINES.items()}
    others = 0
    for name, machine in emulation._MACHINES.items():
        program = tmp_path / f"qemu-{machine.name}-static"
        program.write_bytes(b"\x7fELF\x02\x01" + bytes(100))
        program.chmod(0o755)
        found = find(Platform("linux", name), own=True, path=str(tmp_path))
        if found is None:
            continue  # this machine's own
        others += 1
        _, label, kind, offset, start, mask, path, flags = found.registration.decode().split(":")
        assert (label, kind, offset, path, flags) == (machine.name, "M", "0", str(program), "POCF")
        assert found.path == path
        assert len(found.registration) < 1920
        values, bits = (bytes.fromhex(text.replace("\\x", "")) for text in (start, mask))
        taken = {
            other
            for other, data in starts.items()
            if all(have & bit == value & bit for have, bit, value in zip(data, bits, values, strict=True))
        }
        assert taken == {name}
    assert others >= len(emulation._MACHINES) - 2


@pytest.mark.needs(foreign.EMULATOR)
def test_an_emulator_that_needs_libraries_is_none(tmp_path: Path) -> None:
    arm = Platform("linux", "s390x" if os.uname().machine == "aarch64" else "arm64")
    name = "qemu-s390x" if arm.architecture == "s390x" else "qemu-aarch64"
    (tmp_path / name).symlink_to(os.path.realpath("/bin/ls"))
    with pytest.raises(Unsupported, match="there is no static qemu for it"):
        find(arm, own=True, path=str(tmp_path))
