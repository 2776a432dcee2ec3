"""slirp4netns: outward access by a user-mode network stack with addresses of its own."""

from __future__ import annotations

import os
import select

from wherry.runtime.net import namespace

_PATIENCE = 10.0

ADDRESS = "10.0.2.100"
DNS_ADDRESS = "10.0.2.3"


def start(netns: str, *, log: int) -> int | None:
    """Connect the name space mounted at `netns`; the process ID, or None where it did not come up."""
    reader, writer = os.pipe()
    arguments = [
        "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-ipv6",
        f"--ready-fd={writer}", "--netns-type=path", netns, "tap0",
    ]  # fmt: skip
    try:
        pid = namespace.spawn_helper(arguments, log, keep=[writer])
        os.close(writer)
        readable, _, _ = select.select([reader], [], [], _PATIENCE)
        # It writes one byte when it is ready; an end of file means that it ended.
        if readable and os.read(reader, 1):
            return pid
    finally:
        os.close(reader)
    namespace.end_helper(pid)
    return None
