"""A machine's network of our own: a service outside of it, and one that only the machine itself may reach.

What is made here is in namespaces of their own, and goes with the processes that hold them. The machine has
the address 198.18.0.2, its gateway 198.18.0.1 (addresses for tests of networks, RFC 2544).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from support import programs
from support.busybox import PROGRAM

GATEWAY = "198.18.0.1"
OUTSIDE = "198.18.0.9"
PORT = 8099
"""Where something listens: outside, and on the loopback device of the machine."""

_LINK = f"""
set -e
ip link set lo up
ip link add v0 type veth peer name v1 netns $1
ip addr add 198.18.0.2/24 dev v0
ip link set v0 up
nsenter -t $1 -n ip addr add {GATEWAY}/24 dev v1
nsenter -t $1 -n ip addr add {OUTSIDE}/24 dev v1
nsenter -t $1 -n ip link set v1 up
ip route add default via {GATEWAY}
"""


class World(NamedTuple):
    """`prefix` are words to put before a command that is to run on the machine."""

    prefix: list[str]

    def with_files(self, files: dict[str, Path], *words: str) -> list[str]:
        """The prefix, with files of the machine covered by others, and `words` of a shell."""
        lines = [f"mount --bind {path} {place}" for place, path in files.items()]
        script = "\n".join(["set -e", *lines, *words, 'exec "$@"'])
        return [*self.prefix, "unshare", "--mount", "bash", "-c", script, "world"]


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """The machine; `folder` is for what the services serve."""
    programs.require("root", "ip", "nsenter", "busybox")
    with ExitStack() as stack:
        machine, outside = (_hold(stack) for _ in range(2))
        subprocess.run(["nsenter", "-t", machine, "-n", "bash", "-c", _LINK, "link", outside], check=True)
        for pid, address in ((outside, OUTSIDE), (machine, "127.0.0.1")):
            _serve(stack, pid, address, folder / address)
        yield World(["nsenter", "-t", machine, "-n"])


def _hold(stack: ExitStack) -> str:
    """A process in a network namespace of its own; its number."""
    process = stack.enter_context(_started(["unshare", "--net", "sleep", "1000"]))
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
        time.sleep(0.01)
    return str(process.pid)


def _serve(stack: ExitStack, pid: str, address: str, folder: Path) -> None:
    folder.mkdir()
    (folder / "index.html").write_text(f"this is {address}\n")
    words = ["nsenter", "-t", pid, "-n", PROGRAM, "httpd", "-f", "-p", f"{address}:{PORT}", "-h", str(folder)]
    stack.enter_context(_started(words))


@contextmanager
def _started(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
