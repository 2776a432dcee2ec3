"""From a fresh fork in new namespaces to the first instruction of the command.

Messages on the setup socket, one a packet: `born` (its credentials tell wherry the pid), then from wherry
`go`, then `ready` (marshal: the mount points made; with the terminal's master descriptor, if there is one).
The end of the stream means that the command is being executed, `failed` (marshal) that it could not be.
"""

from __future__ import annotations

import _socket
import fcntl
import marshal
import os
import struct

from . import linux, process, rootfs
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

BORN, READY, FAILED = b"B", b"R", b"F"
GO = b"G"
_SETUP = 3


def run(config: int, stdio: tuple[int, int, int], setup: int) -> NoReturn:
    """Become the container's first process. Never returns."""
    try:
        linux.die_with_parent()
        os.setsid()
        linux.reset_signals()
        channel = _arrange_descriptors(stdio, setup, config)
        channel.send(BORN)
        document = _read(_SETUP + 1)
        os.close(_SETUP + 1)
        _enter_keyring()
        _set_names(document)
        root, created, console = rootfs.build(document)
        rootfs.enter(root)
        if channel.recv(1) != GO:
            os._exit(1)  # wherry gave up
        _announce(channel, created, console)
        process.execute(document["process"], console, keep=_SETUP)
    except Failed as error:
        fail(_SETUP, error.message, error.code)
    except OSError as error:
        fail(_SETUP, f"cannot set up the container: {error.strerror}")
    except BaseException as error:
        fail(_SETUP, f"cannot set up the container: {type(error).__name__}: {error}")
    finally:
        os._exit(1)


def fail(setup: int, message: str, code: int = 0) -> None:
    """Tell wherry why the command does not run; `code` is docker's exit code where it has one."""
    try:
        os.write(setup, FAILED + marshal.dumps((message, code)))
    except OSError:
        pass  # wherry has gone away


def _arrange_descriptors(stdio: tuple[int, int, int], setup: int, config: int) -> _socket.socket:
    """Move stdin, stdout, stderr to 0..2, the setup socket to 3, the config to 4; close all others."""
    wanted = (*stdio, setup, config)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, len(wanted)) for descriptor in wanted]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place, inheritable=place < _SETUP)
    linux.close_from(len(wanted))
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, _SETUP)


def _read(config: int) -> dict[str, Any]:
    size = os.fstat(config).st_size
    document: dict[str, Any] = marshal.loads(os.pread(config, size, 0))
    return document


def _enter_keyring() -> None:
    try:
        linux.new_session_keyring()
    except OSError:
        pass  # the user's quota of keys is used up, or keyrings are not to be had: docker's runc goes on too


def _set_names(document: dict[str, Any]) -> None:
    if document.get("hostname"):
        _socket.sethostname(document["hostname"])
    if {"type": "network"} in document["linux"]["namespaces"]:
        _raise_loopback()


def _raise_loopback() -> None:
    up, running, set_flags = 0x1, 0x40, 0x8914  # IFF_UP, IFF_RUNNING, SIOCSIFFLAGS
    device = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(device, set_flags, struct.pack("=16sh22x", b"lo", up | running))
    device.close()


def _announce(
    channel: _socket.socket, created: list[tuple[str, bool, int, int]], console: int | None
) -> None:
    message = [READY + marshal.dumps(created)]
    if console is None:
        channel.sendmsg(message)
    else:
        descriptor = struct.pack("=i", console)
        channel.sendmsg(message, [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])
