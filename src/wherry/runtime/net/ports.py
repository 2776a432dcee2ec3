"""Published ports as values, and the sockets that listen for them on the host."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence

from wherry.base.errors import UsageError, WherryError
from wherry.base.tuples import NamedTuple

_TRIES = 16


class Port(NamedTuple):
    """One published port. `address`: the host's ("": every one of both families); `host` 0: any free port.

    With `last`: the first free one from `host` to that.
    """

    address: str
    host: int
    container: int
    protocol: str = "tcp"
    last: int = 0


class Listener(NamedTuple):
    """A socket bound for `port`; TCP sockets listen."""

    port: Port
    socket: socket.socket


def reserve(ports: Iterable[Port]) -> list[Listener]:
    """Bind every port now, so that a taken one is an error before anything starts.

    The listeners' ports have the numbers that were chosen. A port for every address has one listener for
    IPv4 and one for IPv6 where the host has IPv6. Raises WherryError and binds nothing where one is taken.
    """
    listeners: list[Listener] = []
    try:
        for port in ports:
            listeners += _bind_one_of(port) if port.last else _bind(port)
    except BaseException:
        release(listeners)
        raise
    return listeners


def release(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.socket.close()


def chosen(listeners: Iterable[Listener]) -> tuple[Port, ...]:
    """The ports in order, each once, with the numbers that were bound."""
    return tuple(dict.fromkeys(listener.port for listener in listeners))


class _Taken(WherryError):
    """Somebody else listens there."""


def _bind_one_of(port: Port) -> list[Listener]:
    for number in range(port.host, port.last + 1):
        try:
            return _bind(port._replace(host=number, last=0))
        except _Taken:
            continue
    raise WherryError(
        f"cannot publish {port.container}/{port.protocol}: all of {port.host}-{port.last} are in use"
    )


def _bind(port: Port) -> list[Listener]:
    if port.address:
        family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
        opened = _open(family, port.address, port)
        return [Listener(port._replace(host=_number(opened)), opened)]
    for _ in range(_TRIES):
        first = _open(socket.AF_INET, "0.0.0.0", port)
        both = port._replace(host=_number(first))
        try:
            second = _open(socket.AF_INET6, "::", both) if _has_ipv6() else None
        except WherryError:
            first.close()
            # A free port was asked for, and this one is free in IPv4 only: try another.
            if port.host:
                raise
            continue
        return [Listener(both, item) for item in (first, second) if item is not None]
    raise WherryError(f"no free port for {port.container}/{port.protocol}")


def _open(family: socket.AddressFamily, address: str, port: Port) -> socket.socket:
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    opened = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if port.protocol == "tcp":
            # Without it, connections of the last container that still linger would count as "taken".
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port.host))
        if port.protocol == "tcp":
            opened.listen(4096)
    except OSError as error:
        opened.close()
        raise _refused(address, port, error) from None
    return opened


def _number(bound: socket.socket) -> int:
    name: tuple[str, int] = bound.getsockname()[:2]
    return name[1]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _refused(address: str, port: Port, error: OSError) -> WherryError:
    shown = f"[{address}]" if ":" in address else address
    place = f"{shown}:{port.host}/{port.protocol}"
    if error.errno == errno.EADDRINUSE:
        return _Taken(
            f"cannot publish {place}: the port is already in use",
            hint="stop what listens there, or publish another host port, such as "
            f"-p {port.host + 1 if port.host < 65535 else 8080}:{port.container}",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"cannot publish {place}: this host has no address {address}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return WherryError(
            f"cannot publish {place}: not allowed to listen on it",
            hint="ports below 1024 need root, or a lower net.ipv4.ip_unprivileged_port_start",
        )
    return WherryError(f"cannot publish {place}: {error.strerror}")
