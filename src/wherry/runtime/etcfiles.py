"""The files that a container's /etc gets from its surroundings: hostname, hosts, resolv.conf."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from wherry.base.errors import Unsupported

NAMES = ("hostname", "hosts", "resolv.conf")

GATEWAY = "host-gateway"
"""Docker's word for the address at which a container finds its host."""

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""

# Where systemd-resolved writes the name servers that it asks itself (systemd-resolved(8)).
_RESOLVED = "/run/systemd/resolve/resolv.conf"


def hosts(hostname: str, *addresses: str) -> str:
    """/etc/hosts; a container without an address of its own finds its name on the loopback device."""
    return _HOSTS + "".join(f"{address}\t{hostname}\n" for address in addresses or ("127.0.1.1",))


def more_hosts(names: Iterable[tuple[str, str]], network: str) -> str:
    """The lines for `--add-host`; `network` is the container's: only from its own is the host to be found."""
    lines = []
    for name, address in names:
        if address == GATEWAY and network != "host":
            raise Unsupported(
                f"--add-host {name}:{GATEWAY}: a network of its own does not reach the host",
                hint="use the host's network (--network host), or give an address",
            )
        lines.append(f"{'127.0.0.1' if address == GATEWAY else address}\t{name}\n")
    return "".join(lines)


def resolv_conf(
    own: str, nameservers: Sequence[str], search: Sequence[str] = (), options: Sequence[str] = ()
) -> str:
    """The host's resolv.conf `own` with other name servers: its search domains and options stay, but where
    there are others."""
    taken = {"search", "domain"} if search else set()
    taken |= {"options"} if options else set()
    kept = [
        line
        for line in own.splitlines()
        if (word := line.split()[:1]) in (["search"], ["domain"], ["options"]) and word[0] not in taken
    ]
    if list(search) not in ([], ["."]):  # docker's word for none at all
        kept.append(f"search {' '.join(search)}")
    if options:
        kept.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in [*kept, *(f"nameserver {server}" for server in nameservers)])


def nameservers(own: str) -> list[str]:
    """The name servers in a resolv.conf."""
    words = (line.split() for line in own.splitlines())
    return [found[1] for found in words if len(found) > 1 and found[0] == "nameserver"]


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address.partition("%")[0] == "::1"


def read_own(name: str) -> str:
    """The host's file of that name in /etc; empty where there is none."""
    return _read(f"/etc/{name}")


def outside_nameservers() -> list[str]:
    """The host's name servers for a network other than its own.

    The stub of systemd-resolved listens on 127.0.0.53, where no other network reaches it: those that it asks
    take its place, as docker has it.
    """
    own = nameservers(read_own("resolv.conf"))
    if own and all(map(is_loopback, own)):
        return nameservers(_read(_RESOLVED)) or own
    return own


def rewrite(path: str, text: str) -> None:
    """Write a file that a container may see already: in place, as it is mounted there."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
