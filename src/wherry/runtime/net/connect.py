"""Connect a container's network name space by the best means that work here.

Outward access: by pasta, else by slirp4netns, else (neither is installed, or `/dev/net/tun` may not be used)
there is none. Published ports are always the built-in forwarder's: it has their sockets from the moment they
are reserved, so nobody can take them in between. (pasta can publish ports too, but has to bind them anew, and
the one of Debian 12 loses the answers of UDP ports whose numbers differ inside and outside.)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from wherry.runtime.net import forwarder, namespace, pasta, slirp
from wherry.runtime.net.ports import Listener, release


class Network(NamedTuple):
    """A connected name space: by what, the container's address in it, the name servers that it reaches."""

    means: str
    address: str = ""
    nameservers: tuple[str, ...] = ()
    helpers: tuple[int, ...] = ()
    note: str = ""

    def close(self) -> None:
        for pid in self.helpers:
            namespace.end_helper(pid)


def connect(
    pid: int, netns: str, listeners: Sequence[Listener], nameservers: Sequence[str], log: int
) -> Network:
    """Give the name space of `pid`, which is also mounted at the file `netns`, access and its ports.

    `nameservers` are the host's. `listeners` are closed here: the forwarder has its own. `log` is a
    descriptor for what the helpers say.
    """
    outward = _outward(netns, nameservers, log)
    helpers = (forwarder.start(pid, listeners),) if listeners else ()
    release(listeners)
    return outward._replace(helpers=outward.helpers + helpers)


def missing_tap() -> str:
    """Why no user-mode network stack can work here; empty where one can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return ""


def _outward(netns: str, nameservers: Sequence[str], log: int) -> Network:
    reason = missing_tap()
    if not reason:
        reason = "it takes pasta or slirp4netns"
        for program, start in (("pasta", _by_pasta), ("slirp4netns", _by_slirp)):
            if shutil.which(program):
                network = start(netns, nameservers, log)
                if network:
                    return network
                reason = f"{program} does not work here"
    return Network(
        "none", note=f"the container cannot reach the network outside ({reason}); published ports work"
    )


def _by_pasta(netns: str, nameservers: Sequence[str], log: int) -> Network | None:
    reachable = tuple(server for server in nameservers if not _is_loopback(server))
    loopback_dns = bool(nameservers) and not reachable
    pid = pasta.start(netns, os.path.dirname(netns), loopback_dns=loopback_dns, log=log)
    if pid is None:
        return None
    servers = (pasta.DNS_ADDRESS,) if loopback_dns else reachable
    return Network("pasta", pasta.host_address(), servers, (pid,))


def _by_slirp(netns: str, _nameservers: Sequence[str], log: int) -> Network | None:
    pid = slirp.start(netns, log=log)
    return Network("slirp4netns", slirp.ADDRESS, (slirp.DNS_ADDRESS,), (pid,)) if pid else None


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address.partition("%")[0] == "::1"
