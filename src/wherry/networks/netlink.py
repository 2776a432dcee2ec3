"""rtnetlink, as much of it as networks need: messages that make, change and delete network devices.

A message is a header, a fixed part and attributes, each padded to four bytes (netlink(7), rtnetlink(7)).
"""

from __future__ import annotations

import os
import socket
import struct

NEW_LINK, DELETE_LINK, NEW_ADDRESS = 16, 17, 20

ADDRESS, NAME, MTU, MASTER, LINK_INFO, AF_SPEC, NAMESPACE = 1, 3, 4, 10, 18, 26, 28
"""Attributes of a link: IFLA_ADDRESS and so on; the name space is given as a descriptor."""

INFO_KIND, INFO_DATA, PEER = 1, 2, 1
"""Inside of IFLA_LINKINFO; and the other end of a pair, inside of its data."""

LOCAL, BROADCAST, FLAGS = 2, 4, 8
"""Attributes of an address, beside ADDRESS: IFA_LOCAL and so on."""

NO_DETECTION = 0x02
"""IFA_F_NODAD: an IPv6 address can be used at once."""

UP = 0x1

_REQUEST, _ACKNOWLEDGE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_ERROR = 2
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ANSWER = 64 << 10


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """One attribute: text ends with a zero byte, a number has 32 bits."""
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def link(index: int = 0, flags: int = 0) -> bytes:
    """The fixed part of a link; those of `flags` are set, no other is changed."""
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flags, flags)


def address(family: int, length: int, index: int) -> bytes:
    """The fixed part of an address whose network has a prefix of `length` bits."""
    return _ADDRESS.pack(family, length, 0, 0, index)


class Channel:
    """Requests to the kernel about one network name space: the one in which `connection` was made."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sequence = 0

    def change(self, kind: int, *parts: bytes) -> None:
        self._send(kind, _REQUEST | _ACKNOWLEDGE, parts)

    def create(self, kind: int, *parts: bytes) -> None:
        """As `change`; FileExistsError where it is there already."""
        self._send(kind, _REQUEST | _ACKNOWLEDGE | _CREATE | _EXCLUSIVE, parts)

    def close(self) -> None:
        self._connection.close()

    def _send(self, kind: int, flags: int, parts: tuple[bytes, ...]) -> None:
        """Have it done; OSError with what the kernel answers where it is not."""
        self._sequence += 1
        body = b"".join(parts)
        self._connection.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            answer = self._connection.recv(_ANSWER)
            _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if kind == _ERROR and sequence == self._sequence:
                (code,) = struct.unpack_from("=i", answer, _HEADER.size)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return
