"""What a child says to wherry while it sets the container up, one message a packet.

`born`: its credentials tell wherry the pid, and a pidfd comes with it. Then, from wherry, `go`. Then `ready`:
the mount points made (marshal), with the terminal's master descriptor if there is one. Where calls are to be
heard by `listener`, `listening` with the descriptor for it, or without where none is to be had. After it
the end of the stream means that the command is being executed. What joins a container is `born` once more
before that, as the process that executes the command. At any time `failed` (exit code or 0, message) is the
last word.
"""

from __future__ import annotations

import _socket
import marshal
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    # path inside the root, is it a folder, and its parent's time of change (ns) before and after
    Created = list[tuple[str, bool, int, int]]

BORN, READY, LISTENING, FAILED = b"B", b"R", b"L", b"F"
GO = b"G"


def announce_birth(wherry: _socket.socket, pid: int = 0) -> None:
    """The kernel translates the pid, this process's own if none is given, to wherry's namespace.

    The pidfd is made here because the process may have ended when wherry reads this.
    """
    pid = pid or os.getpid()
    credentials = struct.pack("=iII", pid, os.geteuid(), os.getegid())
    pidfd = os.pidfd_open(pid)
    ancillary = [
        (_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS, credentials),
        (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("=i", pidfd)),
    ]
    wherry.sendmsg([BORN], ancillary)
    os.close(pidfd)


def await_go(wherry: _socket.socket) -> bool:
    """Whether wherry says go; False where it has given up."""
    return wherry.recv(1) == GO


def announce_start(wherry: _socket.socket, created: Created, console: int | None) -> None:
    message = [READY + marshal.dumps(created)]
    if console is None:
        wherry.sendmsg(message)
    else:
        descriptor = struct.pack("=i", console)
        wherry.sendmsg(message, [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])


def announce_listener(setup: int, listener: int | None) -> None:
    wherry = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, os.dup(setup))
    rights = (
        [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("=i", listener))]
        if listener is not None
        else []
    )
    wherry.sendmsg([LISTENING], rights)
    wherry.close()


def exit_code(state: int) -> int:
    """Of what waitpid(2) says: 128 + n for signal n."""
    return 128 + os.WTERMSIG(state) if os.WIFSIGNALED(state) else os.WEXITSTATUS(state)


def fail(setup: int, message: str, code: int = 0) -> None:
    """Tell wherry why the command does not run; `code` is docker's exit code where it has one."""
    try:
        os.write(setup, FAILED + struct.pack("=i", code) + message.encode(errors="surrogateescape"))
    except OSError:
        pass  # wherry has gone away
