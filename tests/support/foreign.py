"""Programs for another machine, arm64: Debian's static busybox, and what its cross compiler makes.

busybox comes from the package archive, once a machine, and is kept in the tests' cache.
"""

from __future__ import annotations

import fcntl
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from support import folders, programs
from wherry.bootstrap import mmdebstrap, sources
from wherry.oci.platform import Platform

ARM64 = Platform("linux", "arm64")
EMULATOR = "qemu-aarch64-static"
COMPILER = "aarch64-linux-gnu-gcc"
_SUITE = "bookworm"


def busybox() -> Path:
    """The program for arm64. Skips where no emulator would execute it."""
    programs.require(EMULATOR, "mmdebstrap")
    place = Path(folders.cache(), f"busybox-{_SUITE}-arm64")
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            fresh = Path(f"{place}.new")
            fresh.write_bytes(_fetched())
            fresh.chmod(0o755)
            fresh.rename(place)
    return place


LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
"""Of the package libc6-arm64-cross."""


def compiled(source: str, target: Path, *flags: str) -> Path:
    """A program for arm64 out of a text in C."""
    programs.require(COMPILER)
    command = [COMPILER, "-O1", *flags, "-x", "c", "-", "-o", str(target)]
    subprocess.run(command, input=source, text=True, check=True)
    return target


def _fetched() -> bytes:
    """Nothing of the package is executed, so this needs no emulator."""
    with tempfile.NamedTemporaryFile("w", suffix=".sources") as listed:
        listed.write(sources.render(sources.choose(sources.machine(), _SUITE)))
        listed.flush()
        words = [
            *("mmdebstrap", f"--mode={mmdebstrap.mode()}", "--variant=extract", "--architectures=arm64"),
            *("--format=tar", "--skip=output/dev,check/signed-by,check/qemu", "--include=busybox-static"),
            *(*mmdebstrap.login_options(), _SUITE, "-", listed.name),
        ]
        with mmdebstrap.Run(words, lambda _line: None) as run:
            data = b"".join(iter(lambda: run.read(1 << 20), b""))
            run.finish()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile("./bin/busybox")
        assert member is not None
        return member.read()
