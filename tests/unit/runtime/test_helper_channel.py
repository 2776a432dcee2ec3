"""What a child said before it ended is heard, whatever it left unread."""

from __future__ import annotations

import socket

from wherry.runtime.helper import _receive, _release


def test_a_message_behind_a_reset_is_read() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.send(b"never read")
        theirs.send(b"why it failed")
        theirs.close()
        assert _receive(ours)[0] == b"why it failed"
        assert _receive(ours)[0] == b""
        _release(ours)
