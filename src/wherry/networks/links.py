"""Bridges, and pairs of devices that lead from a bridge into a container."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface

from wherry.base.errors import Unsupported
from wherry.networks import netlink
from wherry.networks.netlink import Channel, attribute
from wherry.runtime.init import linux
from wherry.runtime.net import namespace

Interface = IPv4Interface | IPv6Interface
"""An address with the length of its network's prefix."""

NETLINK = (socket.AF_NETLINK, socket.SOCK_RAW, 0)
_IPV4_CONF, _FORWARDING = 1, 1


def sockets_in(netns: int, kinds: Sequence[tuple[int, int, int]]) -> list[socket.socket]:
    """Sockets (family, type, protocol) that belong to the network name space of the descriptor `netns`.

    A process of its own makes them: who has entered the name space of a container might not get back. To be
    called by a process with one thread.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            pid = os.fork()
            if pid == 0:
                _make(netns, kinds, theirs)
        answer, descriptors, _, _ = socket.recv_fds(ours, 4, len(kinds), socket.MSG_CMSG_CLOEXEC)
        os.waitpid(pid, 0)
    if len(descriptors) != len(kinds):
        for descriptor in descriptors:
            os.close(descriptor)
        code = struct.unpack("=i", answer)[0] if len(answer) == 4 else errno.EIO
        raise OSError(code, os.strerror(code))
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _make(netns: int, kinds: Sequence[tuple[int, int, int]], answer: socket.socket) -> None:
    try:
        linux.join(netns, linux.CLONE_NEWNET)
        made = [socket.socket(*kind) for kind in kinds]
        socket.send_fds(answer, [b"made"], [item.fileno() for item in made])
    except OSError as error:
        answer.send(struct.pack("=i", error.errno or errno.EIO))
    finally:
        os._exit(0)


def new_namespace() -> int:
    """A network name space that lives as long as its descriptor, with no device that is up."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    go, done = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(done)
            linux.unshare(linux.CLONE_NEWNET)
            os.write(writer, b"!")
            os.read(go, 1)
        finally:
            os._exit(0)
    os.close(writer)
    os.close(go)
    try:
        if not os.read(reader, 1):
            raise Unsupported("this machine lets nobody make a network name space")
        netns = namespace.opened(pid)
    finally:
        os.close(reader)
        os.close(done)
        os.waitpid(pid, 0)
    return netns


class Links:
    """The devices of one network name space."""

    def __init__(self, netns: int) -> None:
        (connection,) = sockets_in(netns, [NETLINK])
        self._netns = netns
        self._channel = Channel(connection)
        self._indexes = sockets_in(netns, [(socket.AF_INET, socket.SOCK_DGRAM, 0)])[0]

    def close(self) -> None:
        self._channel.close()
        self._indexes.close()

    def index(self, name: str) -> int:
        """The device's number in its name space; OSError where there is none."""
        import fcntl

        request = struct.pack("=16si20x", name.encode(), 0)
        answer = fcntl.ioctl(self._indexes, 0x8933, request)  # SIOCGIFINDEX
        number: int = struct.unpack_from("=16si", answer)[1]
        return number

    def add_bridge(self, name: str, addresses: Sequence[Interface], mac: bytes, mtu: int = 0) -> None:
        """A bridge with addresses of its own, from which nothing is forwarded elsewhere.

        FileExistsError where it is there already. Without a `mac` that is given it would change with its
        ports.
        """
        kind = attribute(netlink.LINK_INFO, attribute(netlink.INFO_KIND, "bridge"))
        size = attribute(netlink.MTU, mtu) if mtu else b""
        name_and_mac = attribute(netlink.NAME, name) + attribute(netlink.ADDRESS, mac)
        self._add("bridge", netlink.link(), name_and_mac, kind, size)
        # By default it would be what the machine does, which is to forward where docker is installed.
        conf = attribute(_IPV4_CONF, attribute(_FORWARDING, 0))
        family = attribute(socket.AF_INET, conf)
        number = self.index(name)
        self._channel.change(netlink.NEW_LINK, netlink.link(number), attribute(netlink.AF_SPEC, family))
        self.begin(name, addresses)

    def add_pair(self, name: str, bridge: str, peer: str, netns: int, mac: bytes, mtu: int = 0) -> None:
        """A device on `bridge` whose other end is the device `peer` in the name space `netns`."""
        size = attribute(netlink.MTU, mtu) if mtu else b""
        other = b"".join([
            netlink.link(), attribute(netlink.NAME, peer), attribute(netlink.ADDRESS, mac),
            attribute(netlink.NAMESPACE, netns), size,
        ])  # fmt: skip
        kind = attribute(netlink.INFO_KIND, "veth")
        data = attribute(netlink.INFO_DATA, attribute(netlink.PEER, other))
        self._add(
            "veth", netlink.link(), attribute(netlink.NAME, name), attribute(netlink.LINK_INFO, kind + data),
            size,
        )  # fmt: skip
        master = attribute(netlink.MASTER, self.index(bridge))
        self._channel.change(netlink.NEW_LINK, netlink.link(self.index(name), netlink.UP), master)

    def begin(self, name: str, addresses: Sequence[Interface]) -> None:
        """Give a device its addresses and bring it up."""
        number = self.index(name)
        for item in addresses:
            family = socket.AF_INET if item.version == 4 else socket.AF_INET6
            parts = [attribute(netlink.LOCAL, item.packed), attribute(netlink.ADDRESS, item.packed)]
            if item.version == 4:
                parts.append(attribute(netlink.BROADCAST, item.network.broadcast_address.packed))
            else:
                parts.append(attribute(netlink.FLAGS, netlink.NO_DETECTION))
            fixed = netlink.address(family, item.network.prefixlen, number)
            self._channel.create(netlink.NEW_ADDRESS, fixed, *parts)
        self._channel.change(netlink.NEW_LINK, netlink.link(number, netlink.UP))

    def remove(self, name: str) -> None:
        """Nothing where it is gone already."""
        try:
            self._channel.change(netlink.DELETE_LINK, netlink.link(self.index(name)))
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.ENOENT):
                raise

    def _add(self, kind: str, *parts: bytes) -> None:
        try:
            self._channel.create(netlink.NEW_LINK, *parts)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
                raise Unsupported(
                    f"this machine makes no device of the kind {kind}, which a network of containers needs: "
                    f"{error.strerror}",
                    hint=f"sudo modprobe {kind}" if error.errno == errno.EOPNOTSUPP else "",
                ) from None
            raise
