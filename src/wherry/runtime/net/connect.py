"""Connect a container's network name space by the best means that work here.

pasta: outward access and ports. slirp4netns: outward access, ports by the built-in forwarder. Where neither
is installed, or `/dev/net/tun` may not be used: published ports only, by the built-in forwarder.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from wherry.runtime.net import forwarder, namespace, pasta, slirp
from wherry.runtime.net.ports import Listener, Port, chosen, release, reserve


class Network(NamedTuple):
    """A connected name space: by what, the container's address in it, the name servers that it reaches."""

    means: str
    address: str
    nameservers: tuple[str, ...]
    helpers: tuple[int, ...]
    note: str = ""

    def close(self) -> None:
        for pid in self.helpers:
            namespace.end_helper(pid)


def connect(
    pid: int, netns: str, listeners: Sequence[Listener], nameservers: Sequence[str], log: int
) -> Network:
    """Give the name space of `pid`, which is also mounted at the file `netns`, access and its ports.

    `nameservers` are the host's. `listeners` are closed here: whoever forwards has its own. `log` is a
    descriptor for what the helpers say.
    """
    reason = missing_tap()
    if not reason and shutil.which("pasta"):
        # pasta binds the ports itself; where it then fails, they are taken back.
        release(listeners)
        if network := _by_pasta(netns, chosen(listeners), nameservers, log):
            return network
        listeners = reserve(chosen(listeners))
    if not reason and shutil.which("slirp4netns") and (found := _by_slirp(pid, netns, listeners, log)):
        return found
    reason = reason or "it takes pasta or slirp4netns"
    note = f"the container cannot reach the network outside ({reason}); published ports work"
    return Network("forwarder", "", (), _forward(pid, listeners), note)


def missing_tap() -> str:
    """Why no user-mode network stack can work here; empty where one can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return ""


def _by_pasta(netns: str, ports: Sequence[Port], nameservers: Sequence[str], log: int) -> Network | None:
    reachable = tuple(server for server in nameservers if not _is_loopback(server))
    loopback_dns = bool(nameservers) and not reachable
    pid = pasta.start(netns, os.path.dirname(netns), ports, loopback_dns=loopback_dns, log=log)
    if pid is None:
        return None
    servers = (pasta.DNS_ADDRESS,) if loopback_dns else reachable
    return Network("pasta", pasta.host_address(), servers, (pid,))


def _by_slirp(pid: int, netns: str, listeners: Sequence[Listener], log: int) -> Network | None:
    helper = slirp.start(netns, log=log)
    if helper is None:
        return None
    return Network("slirp4netns", slirp.ADDRESS, (slirp.DNS_ADDRESS,), (helper, *_forward(pid, listeners)))


def _forward(pid: int, listeners: Sequence[Listener]) -> tuple[int, ...]:
    helpers = (forwarder.start(pid, listeners),) if listeners else ()
    release(listeners)
    return helpers


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return True
