"""The files that a container's /etc gets from its surroundings: hostname, hosts, resolv.conf."""

from __future__ import annotations

from collections.abc import Sequence

NAMES = ("hostname", "hosts", "resolv.conf")

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts(hostname: str, address: str) -> str:
    """/etc/hosts; a container without an address of its own finds its name on the loopback device."""
    return f"{_HOSTS}{address or '127.0.1.1'}\t{hostname}\n"


def resolv_conf(own: str, nameservers: Sequence[str]) -> str:
    """The host's resolv.conf `own` with other name servers: its search domains and options stay."""
    kept = [line for line in own.splitlines() if line.split()[:1] in (["search"], ["domain"], ["options"])]
    return "".join(f"{line}\n" for line in [*kept, *(f"nameserver {server}" for server in nameservers)])


def nameservers(own: str) -> list[str]:
    """The name servers in a resolv.conf."""
    words = (line.split() for line in own.splitlines())
    return [found[1] for found in words if len(found) > 1 and found[0] == "nameserver"]


def read_own(name: str) -> str:
    """The host's file of that name in /etc; empty where there is none."""
    try:
        with open(f"/etc/{name}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
