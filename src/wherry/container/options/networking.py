"""The networks that a container may be in, and what it has of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.networks.definition import NAME

DEFAULT, HOST, NONE = "default", "host", "none"
CONTAINER = "container:"
"""Before a container's name, or its ID: the network of that container."""

_ALIAS = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


class Attachment(NamedTuple):
    """A container's place on a network that somebody has made: its name, the `addresses` that are wanted
    (empty: any), the MAC address (empty: any)."""

    network: str
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    mac: str = ""


class Networks(NamedTuple):
    """What a container has beyond its own network name space. `servers`, `search` and `options` are for its
    resolv.conf; where they are empty they are the host's."""

    attachments: tuple[Attachment, ...] = ()
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where a running container is on a network: the network's name and ID, the addresses with the lengths of
    their prefixes (IPv4, then IPv6), the network's own address, and what the container calls its device."""

    network: str
    id: str
    addresses: tuple[str, ...]
    gateway: str
    mac: str
    device: str


def parse(word: str) -> tuple[str, Attachment | None]:
    """`--network`: the kind of network, and the place on a network that has a name.

    Docker's long form is `name=NETWORK[,alias=NAME][,ip=ADDRESS][,ip6=ADDRESS][,mac-address=ADDRESS]`.
    """
    if "=" in word:
        attachment = _long(word)
        if parse(attachment.network)[1] is None:
            raise UsageError(f"--network {word}: {attachment.network} is no network that somebody has made")
        return DEFAULT, attachment
    if word in (DEFAULT, "bridge"):
        return DEFAULT, None
    if word in (HOST, NONE):
        return word, None
    if word.startswith(CONTAINER):
        if word == CONTAINER:
            raise UsageError(f"invalid network {word}", hint="write --network container:NAME")
        return word, None
    if not NAME.fullmatch(word):
        raise UsageError(
            f"invalid network: {word!r}",
            hint="the networks are default, host, none, container:NAME and those of `wherry network ls`",
        )
    return DEFAULT, Attachment(word)


def names(network: str, networks: Networks) -> list[str]:
    """The networks of a container, as people call them: what `--network` was told."""
    return [attachment.network for attachment in networks.attachments] or [network]


def called(container_id: str, name: str, hostname: str, attachment: Attachment) -> tuple[str, ...]:
    """The names by which others on a network find a container, as docker has them."""
    own = () if hostname == container_id[:12] else (hostname,)
    return (name, *attachment.aliases, container_id[:12], *own)


def check(network: str, networks: Networks) -> None:
    """UsageError where values, or two of them together, cannot be."""
    found = [attachment.network for attachment in networks.attachments]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"--network {name} is given twice")
    for attachment in networks.attachments:
        check_aliases(attachment.aliases)
        if attachment.mac:
            from wherry.networks import subnets

            subnets.parse_hardware_address(attachment.mac)
        for address in attachment.addresses:
            check_address("--ip", address)
    for server in networks.servers:
        check_address("--dns", server.partition("%")[0])
    if network.startswith(CONTAINER) and networks != Networks():
        raise UsageError(f"--dns and its like belong to the container whose network it is: {network}")


def check_aliases(aliases: Iterable[str]) -> None:
    for alias in aliases:
        if not _ALIAS.fullmatch(alias) or len(alias) > 63:
            raise UsageError(f"invalid network alias: {alias!r}", hint="a name has letters, digits, _ . -")


def check_address(option: str, text: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"invalid IP address: {option} {text}") from None


def _long(word: str) -> Attachment:
    found = Attachment("")
    for part in word.split(","):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f"invalid field {part!r} in --network {word}", hint="write key=value")
        if key == "name":
            found = found._replace(network=value)
        elif key == "alias":
            found = found._replace(aliases=(*found.aliases, value))
        elif key in ("ip", "ip6"):
            found = found._replace(addresses=(*found.addresses, value))
        elif key == "mac-address":
            found = found._replace(mac=value)
        elif key in ("driver-opt", "link-local-ip", "gw-priority"):
            raise Unsupported(f"--network {word}: {key} is not supported")
        else:
            raise UsageError(f"unexpected key {key!r} in --network {word}")
    if not found.network:
        raise UsageError(f"--network {word} names no network", hint="write name=NETWORK,...")
    return found
