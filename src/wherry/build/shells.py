"""The shell of one who enters a step, and the step's command at hand in it.

The shell is that of SHELL, else bash, sh or busybox of the root filesystem; where there is none of them, the
static busybox of this machine. What is needed for it lies below the container's `/dev`, a tmpfs: nothing of
it is in the root filesystem.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Sequence
from contextlib import suppress

from wherry.base.errors import NotFound
from wherry.base.tuples import NamedTuple
from wherry.runtime.init import linux
from wherry.runtime.spec import Mount, User

_FOLDER = "/dev/.wherry"
COMMAND = f"{_FOLDER}/command"
HISTORY = f"{_FOLDER}/history"
TOOLS = f"{_FOLDER}/bin"

_USUAL = ("/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/ash")
_BUSYBOXES = ("/bin/busybox", "/usr/bin/busybox")
_LARGEST = 16 << 20
"""Bytes of a shell that are looked at."""

_DYNAMIC = 3
"""PT_INTERP: a program with such a header needs a loader, and libraries."""


class Shell(NamedTuple):
    """`args` start it; `lent` is the path of this machine's busybox where it is that."""

    args: tuple[str, ...]
    has_history: bool
    lent: str = ""

    @property
    def path(self) -> str:
        return f"{TOOLS}/sh" if self.lent else self.args[0]


def choose(rootfs: str, given: Sequence[str], search: str) -> Shell:
    """The shell for the mounted root filesystem `rootfs`; `given` are the words of SHELL, `search` is PATH.

    Of SHELL only the program counts: its options (-c, -e) are for scripts. NotFound where there is none.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in (*_places(given[0], search), *_USUAL) if given else _USUAL:
            if program := _program(root, path):
                return Shell((path,), _reads_history(program))
        for path in _BUSYBOXES:
            if program := _program(root, path):
                return Shell((path, "sh"), _reads_history(program))
    finally:
        os.close(root)
    return _lent()


def _places(program: str, search: str) -> list[str]:
    return [program] if "/" in program else [f"{folder}/{program}" for folder in search.split(":")]


def _program(root: int, path: str) -> bytes:
    """What is in the program at `path`, links followed inside the root; empty where there is none."""
    try:
        found = linux.open_in_root(root, path)
    except OSError:
        return b""
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
            return b""
        with open(f"/proc/self/fd/{found}", "rb") as file:
            return file.read(_LARGEST)
    finally:
        os.close(found)


def _reads_history(program: bytes) -> bool:
    """Whether the shell has a history in a file: Debian's busybox is made without, dash has none at all."""
    return b"HISTFILE" in program


def _lent() -> Shell:
    import shutil

    path = shutil.which("busybox")
    if path is None or not _is_static(path):
        raise NotFound(
            "there is no shell in this root filesystem: neither bash, sh nor busybox",
            hint="install a static busybox on this machine (apt-get install busybox-static), which is lent "
            "then; or name a program that is there: wherry debug ID -- PROGRAM",
        )
    with open(path, "rb") as file:
        return Shell((f"{TOOLS}/busybox", "sh"), _reads_history(file.read(_LARGEST)), os.path.realpath(path))


def _is_static(path: str) -> bool:
    """Whether a 64-bit ELF program brings all it needs (elf(5): e_phoff, e_phentsize, e_phnum, p_type)."""
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:5] != b"\x7fELF\x02":
            return False
        start, size = int.from_bytes(head[32:40], "little"), int.from_bytes(head[54:56], "little")
        for number in range(int.from_bytes(head[56:58], "little")):
            file.seek(start + number * size)
            if int.from_bytes(file.read(4), "little") == _DYNAMIC:
                return False
    return True


def equip(shell: Shell | None, args: Sequence[str], user: User, scratch: str) -> tuple[Mount, ...]:
    """Mounts for the shell, with files made in `scratch`: tools, and `args` as a script and as history.

    The newest line of the history is the command as the step ran it; the one before is its text alone, if it
    was one line for a shell. The first ends by itself; a text with `exit` or `set -e` would end the shell.
    """
    mounts = []
    if shell and shell.lent:
        mounts.append(Mount("bind", _tools(shell.lent, scratch), TOOLS, ("ro", "nosuid")))
    if not args or not shell:
        return tuple(mounts)
    script = f"{scratch}/command"
    _write(script, f"#!{shell.path}\nexec {shlex.join(args)}\n", 0o755)
    mounts.append(Mount("bind", script, COMMAND, ("ro", "nosuid")))
    lines = [*([args[-1]] if len(args) > 2 and "\n" not in args[-1] else []), _line(args)]
    history = f"{scratch}/history"
    _write(history, "".join(f"{line}\n" for line in lines), 0o600)
    with suppress(OSError):  # a user who is not mapped here cannot write it: nothing is lost
        os.chown(history, user.uid, user.gid)
    return (*mounts, Mount("bind", history, HISTORY, ("nosuid", "noexec")))


def _write(path: str, text: str, mode: int) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, mode)


def _line(args: Sequence[str]) -> str:
    """The command as one line: a history has no others."""
    return " ".join(_escaped(word) if "\n" in word else shlex.quote(word) for word in args)


def _escaped(word: str) -> str:
    """In the quotes of bash and busybox, which POSIX has had since 2024."""
    escaped = word.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"$'{escaped}'"


def _tools(busybox: str, scratch: str) -> str:
    """A folder with busybox under all its names; a copy, so that the image sees no folder of this machine."""
    import shutil
    import subprocess

    folder = f"{scratch}/tools"
    os.mkdir(folder, 0o755)
    os.chmod(folder, 0o755)
    shutil.copyfile(busybox, f"{folder}/busybox")
    os.chmod(f"{folder}/busybox", 0o755)
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        if name != "busybox":
            os.symlink("busybox", f"{folder}/{name}")
    return folder
