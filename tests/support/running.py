"""Containers in a small root filesystem of busybox, through any runtime, and looking at processes."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from wherry.runtime.helper import Running
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import Container, Process

BUSYBOX = "/bin/busybox"
DOCKER_CAPABILITIES = "00000000a80425fb"

_marks = itertools.count(os.getpid() * 1000)


class Result(NamedTuple):
    code: int
    output: str
    running: Running


def make_rootfs(root: Path) -> Path:
    for folder in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in subprocess.run(
        [BUSYBOX, "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    os.chmod(root, 0o755)
    return root


def run(
    runtime: Runtime,
    rootfs: Path,
    *args: str,
    ready: Callable[[int], None] | None = None,
    container: dict[str, Any] | None = None,
    **process: Any,
) -> Result:
    """Run a command; what it wrote to stdout and stderr together."""
    described = Container("test", str(rootfs), Process(args, **process))._replace(**(container or {}))
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        running = runtime.start(described, null, write, write, ready)
    finally:
        os.close(write)
        os.close(null)
    with os.fdopen(read, errors="replace") as pipe:
        output = pipe.read()
    return Result(running.wait(), output, running)


def sh(runtime: Runtime, rootfs: Path, script: str, **options: Any) -> Result:
    return run(runtime, rootfs, "sh", "-c", script, **options)


def unique() -> str:
    """A number of seconds that no other test sleeps."""
    return str(next(_marks))


def processes(mark: str) -> list[int]:
    """Processes of this machine with `mark` among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(mark.encode() in argument for argument in arguments):
                found.append(int(name))
    return found


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    direct = children(pid)
    return direct + [deeper for child in direct for deeper in descendants(child)]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start(runtime: Runtime, rootfs: Path, *args: str) -> Running:
    """Start a command that has nothing to read or to say."""
    null = os.open("/dev/null", os.O_RDWR)
    try:
        return runtime.start(Container("test", str(rootfs), Process(args)), null, null, null)
    finally:
        os.close(null)


def read_status(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def read_terminal(console: int) -> str:
    """All that the terminal shows until its last user has gone (EIO)."""
    parts = []
    try:
        while part := os.read(console, 4096):
            parts.append(part)
    except OSError:
        pass
    os.close(console)
    return b"".join(parts).decode()
