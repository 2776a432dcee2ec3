"""pasta: outward access by a user-mode network stack that copies the host's addresses.

Everything here holds for passt 2023-03 (Debian 12) and later. pasta drops CAP_SYS_PTRACE before it opens the
name space, so `/proc/<pid>/ns/net` is refused to it: it gets the name space mounted on a file instead. The
default forwards every port that the container binds, and back: all four directions are told explicitly.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Sequence

from wherry.runtime.helper import Running

_PATIENCE = 10.0

# Where the container sends DNS queries when the host's own resolver listens on a loopback address.
DNS_ADDRESS = "169.254.1.1"


def start(
    path: str,
    netns: str,
    attend: Callable[[Sequence[str], int, int], Running],
    *,
    loopback_dns: bool,
    device: str,
    log: int,
) -> Running | None:
    """Connect the name space mounted at `netns` by the pasta at `path`; None where it did not come up.

    `device` is what the way out is called there; empty: as on the host.

    Beside `netns` is the pipe through which pasta tells that it is ready.
    """
    ready = f"{os.path.dirname(netns)}/pasta.ready"
    try:
        os.unlink(ready)
    except FileNotFoundError:
        pass
    os.mkfifo(ready, 0o600)
    reader = os.open(ready, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            running = attend([path, *_options(netns, ready, loopback_dns, device)], null, log)
        finally:
            os.close(null)
        if _wait(reader, running):
            return running
        running.kill()
        running.wait()
        return None
    finally:
        os.close(reader)
        os.unlink(ready)


def host_address() -> str:
    """The address that pasta gives the container: the host's own, on the interface of its default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; the address is one for documentation (RFC 5737).
            probe.connect(("198.51.100.1", 9))
            address: str = probe.getsockname()[0]
        except OSError:
            return ""
    return address


def _options(netns: str, ready: str, loopback_dns: bool, device: str) -> list[str]:
    options = ["--foreground", "--quiet", "--config-net", "--no-map-gw"]
    options += ["--pid", ready, "--netns", netns]
    for option in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
        options += [option, "none"]
    if device:
        options += ["--ns-ifname", device]
    if loopback_dns:
        options += ["--dns-forward", DNS_ADDRESS]
    if _is_real_root():
        # Otherwise it becomes `nobody`, who may not enter a name space of root's.
        options += ["--runas", "0"]
    return options


def _is_real_root() -> bool:
    """Root of the machine, not a user who is mapped to 0."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return os.geteuid() == 0 and file.read().split()[:3] == ["0", "0", "4294967295"]


def _wait(reader: int, pasta: Running) -> bool:
    """pasta writes its process ID when the interface is configured."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        readable, _, _ = select.select([reader], [], [], 0.02)
        if readable and os.read(reader, 64):
            return True
        if pasta.ended():
            return False
        if readable:
            # End of file: pasta has opened and closed the pipe, or not opened it yet.
            time.sleep(0.005)
    return False
