"""slirp4netns: outward access by a user-mode network stack with addresses of its own."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence

from wherry.runtime.helper import Running

_PATIENCE = 10.0

ADDRESS = "10.0.2.100"
DNS_ADDRESS = "10.0.2.3"


def start(
    path: str, netns: str, attend: Callable[[Sequence[str], int, int], Running], *, log: int
) -> Running | None:
    """Connect the name space mounted at `netns` by the slirp4netns at `path`; None where it fails."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    arguments = [
        path, "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-ipv6",
        "--ready-fd=0", "--netns-type=path", netns, "tap0",
    ]  # fmt: skip
    try:
        try:
            # It reads nothing: its standard input is where it says that it is ready.
            running = attend(arguments, writer, log)
        finally:
            os.close(writer)
        readable, _, _ = select.select([reader], [], [], _PATIENCE)
        # It writes one byte when it is ready; an end of file means that it ended.
        if readable and os.read(reader, 1):
            return running
    finally:
        os.close(reader)
    running.kill()
    running.wait()
    return None
