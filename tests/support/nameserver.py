"""A name server on port 53 of a machine of a test's own: `python nameserver.py ADDRESS`, all by itself.

It answers each question for an A record with 192.0.2.53, but for names that begin with `no`; by TCP with
192.0.2.54. It prints a line when it listens.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading


def answer(message: bytes, last: int) -> bytes:
    end = message.index(b"\0", 12) + 5
    head, question = message[:2], message[12:end]
    if question[1:3] == b"no" or question[-4:] != b"\0\1\0\1":
        return head + struct.pack("!5H", 0x8183, 1, 0, 0, 0) + question
    record = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 60, 4, 192, 0, 2, last)
    return head + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + question + record


def serve_streams(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            size = int.from_bytes(connection.recv(2))
            reply = answer(connection.recv(size), 54)
            connection.sendall(struct.pack("!H", len(reply)) + reply)


def main(address: str) -> None:
    listener = socket.create_server((address, 53))
    threading.Thread(target=serve_streams, args=(listener,), daemon=True).start()
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind((address, 53))
    print("ready", flush=True)
    while True:
        message, sender = datagrams.recvfrom(4096)
        datagrams.sendto(answer(message, 53), sender)


if __name__ == "__main__":
    main(sys.argv[1])
