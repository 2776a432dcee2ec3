"""The words between the keeper of the networks and whoever talks to it: a JSON object in each packet.

A request has `do` and what that needs; each gets one answer, `{"error", "hint", "kind"}` where it failed:

    join     {"container", "servers"}: from now on the connection stands for a container, until it closes.
             The answer: {"mode"}, with descriptors of the keeper's namespaces: of the bridges, for users,
             for mounts
    attach   {"wanted": Wanted}, with a descriptor of the container's network name space: {"endpoint": Joined}
    adopt    {"endpoint": Joined}: what another keeper has attached, who is no more
    rename   {"network", "names"}: what it is called there from now on
    detach   {"network"}: by its ID
    users    {"network"}: {"count"} of the containers on it
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from wherry.base import errors, values
from wherry.base.errors import Corrupt, WherryError
from wherry.base.tuples import NamedTuple
from wherry.networks.definition import Network

_LARGEST = 64 << 10
_DESCRIPTORS = 4
_KINDS = ("WherryError", "UsageError", "NotFound", "Unsupported", "Denied", "Corrupt")


class Wanted(NamedTuple):
    """What a container asks for on `network` (its name): addresses (empty: any), the MAC address (empty: the
    one that goes with the address), the names by which it is found, and what it calls its device."""

    network: str
    device: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    mac: str = ""


class Joined(NamedTuple):
    """A container's place on a network. `addresses` are IPv4, then IPv6; `port` is the bridge's device."""

    network: Network
    device: str
    port: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    mac: str


def send(connection: socket.socket, document: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    raw = json.dumps({key: values.encode(item) for key, item in document.items()}).encode()
    socket.send_fds(connection, [raw], descriptors)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next packet and the descriptors that came with it; None where the other side is gone."""
    try:
        raw, descriptors, _, _ = socket.recv_fds(connection, _LARGEST, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not raw:
        return None
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        close(descriptors)
        raise Corrupt("a packet that is no object")
    return document, descriptors


def close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def failure(error: WherryError) -> dict[str, Any]:
    return {"error": error.message, "hint": error.hint, "kind": type(error).__name__}


def check(answer: dict[str, Any]) -> None:
    """Raise the error that an answer tells of."""
    if "error" in answer:
        kind = answer["kind"] if answer["kind"] in _KINDS else "WherryError"
        raise getattr(errors, kind)(answer["error"], hint=answer["hint"])
