"""Connect a container's network name space by the best means that work here.

Outward access: by pasta, else by slirp4netns, else (neither is installed, or `/dev/net/tun` may not be used)
there is none. Published ports are always the built-in forwarder's: it has their sockets from the moment they
are reserved, so nobody can take them in between. (pasta can publish ports too, but has to bind them anew, and
the one of Debian 12 loses the answers of UDP ports whose numbers differ inside and outside.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from wherry.base.tuples import NamedTuple
from wherry.base.which import which
from wherry.runtime.etcfiles import is_loopback
from wherry.runtime.helper import Running
from wherry.runtime.net import namespace, pasta, slirp
from wherry.runtime.net.ports import Listener, release

PROGRAMS = ("pasta", "slirp4netns")
"""What gives outward access, the better one first."""

WAY_OUT = "tap0"
"""What slirp4netns calls its device in a container."""

Attend = Callable[[Sequence[str], int, int], Running]
"""`Runtime.attend`."""


class Network(NamedTuple):
    """A connected name space: by what, the container's address in it, the name servers that it reaches.

    `note` says what it lacks. Close it before the name space is unmounted.
    """

    means: str
    address: str = ""
    nameservers: tuple[str, ...] = ()
    helper: Running | None = None
    forwarder: int = 0
    note: str = ""

    def end(self) -> None:
        """The ports are free at once; whoever gave outward access takes 30 ms to take its device down."""
        if self.helper is not None:
            self.helper.kill()
        if self.forwarder:
            namespace.end_helper(self.forwarder)

    def wait(self) -> None:
        """After `end`, until everything is gone."""
        if self.helper is not None:
            self.helper.wait()

    def close(self) -> None:
        self.end()
        self.wait()


def connect(
    pid: int,
    netns: str,
    listeners: Sequence[Listener],
    nameservers: Sequence[str],
    attend: Attend,
    log: int,
    *,
    device: str = "",
    is_closed: bool = False,
) -> Network:
    """Give the name space of `pid`, which is also mounted at the file `netns`, access and its ports.

    `nameservers` are the host's. `listeners` are closed here: the forwarder has its own, and where there are
    any the caller must have one thread. `log` is a descriptor for what the helpers say. `device` is what the
    way out is called in there (slirp4netns has its own name for it); empty: as on the host. There is none
    with `is_closed`.
    """
    outward = Network("none") if is_closed else _outward(netns, nameservers, attend, log, device)
    forwarding = _forward(pid, listeners) if listeners else 0
    release(listeners)
    return outward._replace(forwarder=forwarding)


def _forward(pid: int, listeners: Sequence[Listener]) -> int:
    from wherry.runtime.net import forwarder

    return forwarder.start(pid, listeners)


def missing() -> str:
    """Why there is no outward access from a network of its own here; empty where there is."""
    if lacking := _missing_tap():
        return lacking
    return "" if any(map(which, PROGRAMS)) else "neither pasta nor slirp4netns is installed"


def _missing_tap() -> str:
    """Why no user-mode network stack can work here; empty where one can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return ""


def _outward(netns: str, nameservers: Sequence[str], attend: Attend, log: int, device: str) -> Network:
    reason = missing()
    if not reason:
        for program, start in zip(PROGRAMS, (_by_pasta, _by_slirp), strict=True):
            if path := which(program):
                network = start(path, netns, nameservers, attend, log, device)
                if network:
                    return network
                reason = f"{program} does not work here"
    return Network("none", note=reason)


def _by_pasta(
    path: str, netns: str, nameservers: Sequence[str], attend: Attend, log: int, device: str
) -> Network | None:
    reachable = tuple(server for server in nameservers if not is_loopback(server))
    loopback_dns = bool(nameservers) and not reachable
    helper = pasta.start(path, netns, attend, loopback_dns=loopback_dns, device=device, log=log)
    if helper is None:
        return None
    servers = (pasta.DNS_ADDRESS,) if loopback_dns else reachable
    return Network("pasta", pasta.host_address(), servers, helper)


def _by_slirp(
    path: str, netns: str, _nameservers: Sequence[str], attend: Attend, log: int, _device: str
) -> Network | None:
    helper = slirp.start(path, netns, attend, log=log)
    return Network("slirp4netns", slirp.ADDRESS, (slirp.DNS_ADDRESS,), helper) if helper else None
