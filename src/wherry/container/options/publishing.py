"""docker's words for published ports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.container.options.options import Options
from wherry.runtime.net.ports import Port


def parse_ports(word: str) -> list[Port]:
    """`[ip:][host:]container[/protocol]`, each side a number or a range; no host port: any free one."""
    body, slash, protocol = word.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol == "sctp":
        raise Unsupported(f"-p {word}: sctp is not supported", hint="tcp and udp are")
    if protocol not in ("tcp", "udp"):
        raise UsageError(f"invalid protocol in -p {word}: {protocol!r}", hint="write tcp or udp")
    head, _, container = body.rpartition(":")
    address, host = _address_and_host(head, word)
    inside = _range(container, word)
    if not host:
        return [Port(address, 0, number, protocol) for number in inside]
    outside = _range(host, word, lowest=0)
    if len(outside) > 1 and len(inside) == 1:
        return [Port(address, outside[0], inside[0], protocol, last=outside[-1])]
    if len(outside) != len(inside):
        raise UsageError(f"invalid ranges in -p {word}: they differ in length")
    return [Port(address, number, target, protocol) for number, target in zip(outside, inside, strict=True)]


def parse_expose(word: str) -> list[str]:
    """`port[-port][/protocol]` as images have it: `80/tcp`."""
    body, slash, protocol = word.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise UsageError(f"invalid protocol in --expose {word}: {protocol!r}", hint="write tcp or udp")
    return [f"{number}/{protocol}" for number in _range(body, word, flag="--expose")]


def published(wanted: Options, exposed: Iterable[str]) -> tuple[Port, ...]:
    """The ports of `-p`; with `-P` the others that are exposed too, each on any free port of the host."""
    if not wanted.publish_all:
        return wanted.ports
    taken = {(port.container, port.protocol) for port in wanted.ports}
    return (*wanted.ports, *(port for port in map(_exposed, exposed) if port[2:4] not in taken))


def _exposed(word: str) -> Port:
    number, _, protocol = word.partition("/")
    if not re.fullmatch("[0-9]{1,5}", number) or not 1 <= int(number) <= 65535:
        raise WherryError(f"-P: the image exposes {word!r}, which is no port")
    if protocol not in ("", "tcp", "udp"):
        raise Unsupported(f"-P: the image exposes {word}, and {protocol} is not supported")
    return Port("", 0, int(number), protocol or "tcp")


def _address_and_host(head: str, word: str) -> tuple[str, str]:
    """The part in front of the container's port: `host`, `ip:host`, `ip:`, `[v6]:host` or nothing."""
    if not head or re.fullmatch(r"[0-9]+(-[0-9]+)?", head):
        return "", head
    address, _, host = head.rpartition(":")
    import ipaddress

    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        return str(ipaddress.ip_address(bare)), host
    except ValueError:
        raise UsageError(
            f"invalid IP address in -p {word}: {bare or head!r}",
            hint="write [ip:][host port:]container port[/udp], such as -p 127.0.0.1:8080:80",
        ) from None


def _range(text: str, word: str, lowest: int = 1, flag: str = "-p") -> list[int]:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if not match:
        raise UsageError(
            f"invalid port in {flag} {word}: {text!r}", hint="a port is a number from 1 to 65535"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if not lowest <= first <= last <= 65535:
        raise UsageError(f"invalid port in {flag} {word}: {text}", hint="a port is a number from 1 to 65535")
    return list(range(first, last + 1))
