"""From a fresh fork in new namespaces to the first instruction of the command."""

from __future__ import annotations

import _socket
import fcntl
import marshal
import os
import struct

from . import channel, emulator, jail, joining, linux, listener, process, rootfs, supervisor
from .process import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_SETUP = 3


def run(order: int, stdio: tuple[int, int, int], setup: int, target: list[int]) -> NoReturn:
    """Become a process of a container, or the one that makes or serves it. Never returns.

    `target` are the descriptors of a container to enter: see `joining`.
    """
    try:
        linux.die_with_parent()
        os.setsid()
        linux.reset_signals()
        wherry, target = _arrange_descriptors(stdio, setup, order, target)
        document = _read(_SETUP + 1)
        os.close(_SETUP + 1)
        if "program" in document:
            supervisor.run(document, wherry)
        elif "ids" in document or "observed" in document:
            listener.run(document, wherry)
        elif "attendant" in document:
            _attend(document["attendant"], wherry)
        elif target:
            joining.run(document, wherry, _SETUP, target)
        elif document.get("wherry.jail"):
            jail.run(document, wherry)
        else:
            _run_command(document, wherry)
    except Failed as error:
        channel.fail(_SETUP, error.message, error.code)
    except OSError as error:
        channel.fail(_SETUP, f"cannot set up the container: {error.strerror}")
    except BaseException as error:
        channel.fail(_SETUP, f"cannot set up the container: {type(error).__name__}: {error}")
    finally:
        os._exit(1)


def _run_command(document: dict[str, Any], wherry: _socket.socket) -> NoReturn:
    channel.announce_birth(wherry)
    process.enter_keyring()
    _enter_network(document)
    _set_names(document)
    emulated = document.get("wherry.emulator")
    namespace, registrations = emulator.prepare(emulated) if emulated else (-1, -1)
    root, created, console = rootfs.build(document, registrations)
    rootfs.enter(root)
    if not channel.await_go(wherry):
        os._exit(1)
    if {"type": "cgroup"} in document["linux"]["namespaces"]:
        linux.unshare(linux.CLONE_NEWCGROUP)
    channel.announce_start(wherry, created, console)
    seccomp = document["linux"].get("wherry.filter", {})
    process.execute(document["process"], console, seccomp, _SETUP, namespace)


def _attend(arguments: list[str], wherry: _socket.socket) -> NoReturn:
    """Become a program of the host's that serves containers."""
    channel.announce_birth(wherry)
    if not channel.await_go(wherry):
        os._exit(1)
    channel.announce_start(wherry, [], None)
    os.execve(
        arguments[0], arguments, {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )


def _arrange_descriptors(
    stdio: tuple[int, int, int], setup: int, order: int, target: list[int]
) -> tuple[_socket.socket, list[int]]:
    """Move stdin, stdout, stderr to 0..2, the setup socket to 3, the order to 4, and behind it the target's,
    whose numbers come back; close all others."""
    wanted = (*stdio, setup, order, *target)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, len(wanted)) for descriptor in wanted]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place, inheritable=place < _SETUP)
    linux.close_from(len(wanted))
    wherry = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, _SETUP)
    return wherry, list(range(_SETUP + 2, len(wanted)))


def _read(order: int) -> dict[str, Any]:
    size = os.fstat(order).st_size
    document: dict[str, Any] = marshal.loads(os.pread(order, size, 0))
    return document


def _enter_network(document: dict[str, Any]) -> None:
    """That of another container, where the order says so."""
    for namespace in document["linux"]["namespaces"]:
        if namespace["type"] == "network" and "path" in namespace:
            descriptor = os.open(namespace["path"], os.O_RDONLY | os.O_CLOEXEC)
            linux.join(descriptor, linux.CLONE_NEWNET)
            os.close(descriptor)


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
