"""Several sockets on one address, between which datagrams are divided by who sends them.

A socket's queue is full when nobody reads fast enough, and what comes then is lost, whoever has filled it. So
neighbours have queues of their own, and each queue is read in its turn.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

COUNT = 32
"""A power of two: addresses have one queue if they are equal in their last five bits."""

_ATTACH_REUSEPORT_CBPF = 51
_NETWORK_HEADER = 0xFFF00000
"""SKF_NET_OFF: offsets from there on count from the IP header (linux/filter.h)."""

_SOURCE = 12
"""Where an IPv4 header has the sender's address (RFC 791, section 3.1)."""

_LOAD_WORD, _AND, _RETURN = 0x20, 0x54, 0x16


def bind(sockets: Sequence[socket.socket], address: tuple[str, int]) -> None:
    """Give all of the COUNT sockets the (IPv4) address."""
    for item in sockets:
        item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        item.bind(address)
    # The program says the socket's number, in the order in which they were bound (socket(7)).
    steps = ((_LOAD_WORD, _NETWORK_HEADER + _SOURCE), (_AND, COUNT - 1), (_RETURN, 0))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", code, 0, 0, k) for code, k in steps))
    described = struct.pack("@HP", len(steps), ctypes.addressof(program))
    sockets[0].setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, described)
