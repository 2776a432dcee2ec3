"""The keeper: the process that holds the networks of a store, as long as any container is on one.

It has a network name space with a bridge for each network, and in it nothing else; it stands outside of it
itself, where the host's name servers are. The first monitor that needs it starts it, and each of them has a
connection to it for its container (membership.py). When the last is closed, it ends, and the bridges with it.
When it is killed, its namespaces live on in the monitors, who have descriptors of them, and one of those
starts another keeper there.

    networks/keeper/           flock: held to start a keeper, to find it, and by it to end
      control                  its socket (packets.py)
      members                  flock, shared: held by everyone who has a connection
      log                      its complaints; empty when all went well
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from wherry.base import values
from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.networks import packets, queues, subnets
from wherry.networks.definition import Network, Networks
from wherry.networks.links import Links, sockets_in
from wherry.networks.loop import READ, Loop
from wherry.networks.packets import Joined, Wanted
from wherry.networks.resolver import Resolver
from wherry.networks.roster import Endpoint, Roster, Segment, spoken
from wherry.runtime import etcfiles

_AGAIN = 0.05
"""Seconds until an end that somebody's start was in the way of is tried again."""

_FIRST = 10.0
"""Seconds in which whoever has started the keeper comes to it; if not, it was killed."""


class _Client:
    """A connection, and the container that it stands for (empty: none yet)."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.container = ""
        self.servers: tuple[str, ...] = ()


class Keeper:
    """`netns` is the name space with the bridges, `mode` that of the process (runtime/modes.py)."""

    def __init__(self, root: str, mode: str, netns: int, listener: socket.socket) -> None:
        self._networks = Networks(root)
        self._folder = f"{root}/networks/keeper"
        self._mode = mode
        self._netns = netns
        self._listener = listener
        self._loop = Loop()
        self._links = Links(netns)
        self._roster = Roster()
        self._clients: list[_Client] = []
        self._sockets: dict[str, list[socket.socket]] = {}
        """What answers on each network, by its ID."""
        self._resolver = Resolver(self._loop, self._roster, self._servers)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        listener.setblocking(False)
        self._loop.watch(listener, READ, self._accept)

    def run(self) -> NoReturn:
        """Until the last client has left."""
        self._loop.after(self, _FIRST, self._end_if_alone)
        while True:
            self._loop.turn()

    def _accept(self, _mask: int) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            client = _Client(connection)
            self._clients.append(client)
            self._loop.watch(connection, READ, partial(self._hear, client))

    def _hear(self, client: _Client, _mask: int) -> None:
        descriptors: list[int] = []
        try:
            packet = packets.receive(client.connection)
            if packet is None:
                self._drop(client)
                return
            request, descriptors = packet
            answer, given = self._obey(client, request, descriptors)
        except (KeyError, TypeError, ValueError) as error:
            answer, given = (
                packets.failure(Corrupt(f"the keeper of the networks was asked for nonsense: {error}")),
                [],
            )
        except WherryError as error:
            answer, given = packets.failure(error), []
        except OSError as error:
            answer, given = packets.failure(WherryError(f"the network failed: {error.strerror}")), []
        finally:
            packets.close(descriptors)
        try:
            packets.send(client.connection, answer, given)
        except OSError:
            self._drop(client)
        finally:
            packets.close(given)

    def _obey(
        self, client: _Client, request: dict[str, Any], descriptors: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        """Do what is asked: the answer, and descriptors that go with it and are closed then."""
        word = request.get("do")
        if word == "join":
            client.container, client.servers = request["container"], tuple(request["servers"])
            own = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "mnt")]
            return {"mode": self._mode}, [os.dup(self._netns), *own]
        if word == "attach" and len(descriptors) == 1:
            wanted = values.decode(Wanted, request["wanted"])
            return {"endpoint": self._attach(client.container, wanted, descriptors[0])}, []
        if word == "adopt":
            joined = values.decode(Joined, request["endpoint"])
            self._enter(self._segment(joined.network), client.container, joined)
        elif word == "rename":
            self._rename(client.container, request["network"], tuple(request["names"]))
        elif word == "detach":
            self._detach(client.container, request["network"])
        elif word == "users":
            segment = self._roster.segments.get(request["network"])
            return {"count": len(segment.endpoints) if segment else 0}, []
        else:
            raise Corrupt(f"the keeper of the networks does not know what {word!r} is")
        return {}, []

    def _attach(self, container: str, wanted: Wanted, netns: int) -> Joined:
        network = self._networks.get(wanted.network)
        if network is None:
            raise NotFound(
                f"network {wanted.network} not found", hint=f"`wherry network create {wanted.network}`"
            )
        before = self._roster.addresses_at(container, network.id)
        self._detach(container, network.id)
        segment = self._segment(network)
        try:
            addresses = segment.addresses(wanted.addresses or before)
            joined = self._connect(network, wanted, addresses, netns)
        except BaseException:
            self._leave(segment)
            raise
        self._enter(segment, container, joined)
        return joined

    def _connect(self, network: Network, wanted: Wanted, addresses: tuple[str, ...], netns: int) -> Joined:
        """Put a device of the bridge's into the container's name space, and give it its addresses."""
        port = f"wv{os.urandom(6).hex()}"
        interfaces = subnets.interfaces(network, addresses)
        mac = subnets.parse_hardware_address(wanted.mac) if wanted.mac else b""
        mac = mac or subnets.hardware_address(interfaces[0].ip)
        self._links.add_pair(port, _bridge(network), wanted.device, netns, mac, network.mtu)
        try:
            inner = Links(netns)
            try:
                inner.begin(wanted.device, interfaces)
            finally:
                inner.close()
        except BaseException:
            self._links.remove(port)
            raise
        return Joined(network, wanted.device, port, spoken(wanted.names), addresses, mac.hex(":"))

    def _enter(self, segment: Segment, container: str, joined: Joined) -> None:
        segment.endpoints[container] = Endpoint(container, joined.names, joined.addresses, joined.port)

    def _rename(self, container: str, network: str, names: tuple[str, ...]) -> None:
        segment = self._roster.segments.get(network)
        if segment and container in segment.endpoints:
            segment.endpoints[container] = segment.endpoints[container]._replace(names=names)

    def _detach(self, container: str, network: str) -> None:
        segment = self._roster.segments.get(network)
        if segment and container in segment.endpoints:
            self._links.remove(segment.endpoints.pop(container).port)
            self._leave(segment)

    def _segment(self, network: Network) -> Segment:
        """The network with its bridge, made where nobody is on it yet."""
        known = self._roster.segments.get(network.id)
        if known:
            return known
        segment, bridge = Segment(network), _bridge(network)
        own = subnets.interfaces(network, [one.gateway for one in network.subnets])
        try:
            self._links.add_bridge(bridge, own, subnets.hardware_address(own[0].ip), network.mtu)
        except FileExistsError:
            pass  # another keeper's, who is no more
        self._serve(segment, bridge)
        self._roster.segments[network.id] = segment
        return segment

    def _serve(self, segment: Segment, bridge: str) -> None:
        kinds = [*[socket.SOCK_DGRAM] * queues.COUNT, socket.SOCK_STREAM]
        made = sockets_in(self._netns, [(socket.AF_INET, kind, 0) for kind in kinds])
        self._sockets[segment.network.id] = made
        # Else the address would be answered on from the other networks too.
        for item in made:
            item.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode() + b"\0")
        address = (segment.network.gateway, 53)
        *datagrams, listener = made
        queues.bind(datagrams, address)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
        self._resolver.serve(segment, datagrams, listener)

    def _leave(self, segment: Segment) -> None:
        """Nothing is left of a network that nobody is on."""
        if segment.endpoints:
            return
        del self._roster.segments[segment.network.id]
        for item in self._sockets.pop(segment.network.id):
            self._loop.close(item)
        self._links.remove(_bridge(segment.network))

    def _servers(self, container: str) -> tuple[str, ...]:
        own = next((one.servers for one in self._clients if one.container == container), ())
        return own or tuple(etcfiles.nameservers(etcfiles.read_own("resolv.conf")))

    def _drop(self, client: _Client) -> None:
        self._loop.close(client.connection)
        self._clients.remove(client)
        for network in list(self._roster.segments):
            self._detach(client.container, network)
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        """End where nobody is left, and nobody is about to come: who comes holds the lock meanwhile."""
        if self._clients:
            return
        lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            self._loop.after(self, _AGAIN, self._end_if_alone)
            return
        self._accept(0)
        if not self._clients:
            os.unlink(f"{self._folder}/control")
            os._exit(0)
        os.close(lock)


def keep(root: str, listener: socket.socket, mode: str, netns: int, ready: Callable[[], None]) -> NoReturn:
    """Be the keeper; to be called in a process with one thread, in its mode. `ready` is called when it is."""
    keeper = Keeper(root, mode, netns, listener)
    ready()
    keeper.run()


def _bridge(network: Network) -> str:
    return f"wb{network.id[:12]}"
