"""The busybox image: one static program under all the names of its commands, and a few files."""

from __future__ import annotations

import os
import subprocess

from wherry.base.errors import NotFound
from wherry.bootstrap.mmdebstrap import EPOCH
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from wherry.layer.reader import read_layer
from wherry.layer.writer import LayerWriter, Readable

_TIME = EPOCH * 1_000_000_000
_PROGRAM = "bin/busybox"

_FOLDERS = (
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/spool", 0o755),
    ("var/spool/mail", 0o755),
    ("var/www", 0o755),
)

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""
_FILES = (
    ("etc/group", _GROUP, 0o644),
    ("etc/passwd", _PASSWD, 0o644),
    ("etc/shadow", "root:*:::::::\n", 0o640),
)


def write(writer: LayerWriter, stream: Readable, scratch: str) -> None:
    """`stream` has the package's files; `scratch` is a folder in which the program may be run."""
    program = _program(stream)
    for path, mode in _FOLDERS:
        writer.add(Entry(path, DIRECTORY, mode, mtime=_TIME))
    _add_file(writer, _PROGRAM, program, 0o755)
    for name in _commands(program, scratch):
        writer.add(Entry(f"bin/{name}", HARDLINK, 0o755, mtime=_TIME, link=_PROGRAM))
    for path, text, mode in _FILES:
        _add_file(writer, path, text.encode(), mode)
    writer.add(Entry("usr/bin/env", SYMLINK, 0o777, mtime=_TIME, link="../../bin/env"))


def _add_file(writer: LayerWriter, path: str, data: bytes, mode: int) -> None:
    writer.add(Entry(path, FILE, mode, mtime=_TIME, size=len(data)), data)


def _program(stream: Readable) -> bytes:
    program = b""
    for entry, content in read_layer(stream):
        if entry.kind == FILE and entry.path in (_PROGRAM, f"usr/{_PROGRAM}"):
            program = content.read(entry.size)
    if not program:
        raise NotFound("the package busybox-static has no program named busybox")
    return program


def _commands(program: bytes, scratch: str) -> list[str]:
    """The commands that this build of the program has, as it tells them itself."""
    path = f"{scratch}/busybox"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "wb") as file:
        file.write(program)
    result = subprocess.run([path, "--list"], capture_output=True, text=True, check=True)
    return sorted(name for name in set(result.stdout.split()) if name != "busybox" and "/" not in name)
