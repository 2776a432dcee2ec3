"""A container's network, made by its monitor: by itself, with the keeper of the networks, or another's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from wherry.base.errors import WherryError
from wherry.container.monitor.complaints import complain
from wherry.container.monitor.entering import Entry
from wherry.container.options import networking
from wherry.container.options.networking import Attachment, Place
from wherry.container.prepare import write_etc
from wherry.container.state import Folder, Spec
from wherry.runtime import etcfiles
from wherry.runtime.net import connect, namespace
from wherry.runtime.net.connect import Network
from wherry.runtime.net.ports import Listener, release
from wherry.runtime.runtime import Runtime
from wherry.store import events

if TYPE_CHECKING:
    from wherry.networks.membership import Membership
    from wherry.networks.packets import Joined


class Wiring:
    """Lasts as long as the monitor; `connect` comes at each start of the container."""

    def __init__(self, root: str, folder: Folder, spec: Spec, entry: Entry) -> None:
        self.spec = spec
        self.network, self.etc = entry.network, entry.etc
        self._root = root
        self._folder = folder
        self._membership = entry.membership
        self._joined: dict[str, Joined] = {}
        """By the names of the networks, in the order of the container's."""
        self._runtime: Runtime | None = None
        self._outward: Network | None = None
        self._was_closed = False
        self._pid = 0
        self._start = ExitStack()

    def connect(self, runtime: Runtime, pid: int, listeners: Sequence[Listener]) -> None:
        """The process exists and waits: before it goes on, its network name space gets what it needs.

        `listeners`, which hold its ports, are taken over.
        """
        if self.spec.network != "default":
            release(listeners)
            return
        netns = self._folder.file("netns")
        try:
            namespace.mount_at(pid, netns)
            self._start.callback(namespace.unmount, netns)
            self._runtime, self._pid, self._joined = runtime, pid, {}
            for attachment in self.spec.networks.attachments:
                self._attach(attachment)
            self._open(listeners)
        except OSError as error:
            raise WherryError(f"cannot connect the container's network: {error.strerror}") from None
        self._write_etc()

    def change(self, spec: Spec) -> None:
        """The container's name or its networks are others from now on; WherryError where these cannot be."""
        before, self.spec = self.spec, spec
        try:
            self._reconcile()
        except OSError as error:
            self.spec = before
            raise WherryError(f"cannot connect the container's network: {error.strerror}") from None
        except WherryError:
            self.spec = before
            raise

    @property
    def note(self) -> str:
        """What the container's network lacks, for people."""
        return self._outward.note if self._outward else ""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where it is on networks, for its state."""
        return tuple(_place(joined) for joined in self._joined.values())

    def disconnect(self) -> None:
        """Undo `connect`; the places on networks are kept for the next start."""
        if self._pid:
            self._tell_all("disconnect")
        if self._outward:
            self._outward.end()
        self._start.close()
        self._start = ExitStack()
        self._runtime, self._pid = None, 0

    def wait(self) -> None:
        """Until the way out that `disconnect` has ended is gone."""
        if self._outward:
            self._outward.wait()
        self._outward = None

    def close(self) -> None:
        """Leave all networks, and other containers'."""
        self.disconnect()
        namespace.unmount(self._folder.file("netns"))
        if self._membership:
            self._membership.close()
            self._membership = None

    def fileno(self) -> int:
        """A descriptor that becomes readable when `mend` is due; -1 where that is never."""
        return self._membership.fileno() if self._membership else -1

    def mend(self) -> None:
        """The keeper of the networks was killed: have another one. Without one no names are found."""
        assert self._membership
        try:
            self._membership.mend()
        except (WherryError, OSError) as error:
            complain(f"the keeper of the networks was killed: {error}")
            self._membership.close()
            self._membership = None
        else:
            complain("the keeper of the networks was killed: there is another")

    def _reconcile(self) -> None:
        wanted = {attachment.network: attachment for attachment in self.spec.networks.attachments}
        for name in [name for name in self._joined if name not in wanted]:
            self._detach(name)
        if not self._pid:
            return
        for name, attachment in wanted.items():
            if name not in self._joined:
                self._attach(attachment)
        if self._membership:
            self._membership.rename(lambda joined: self._called(wanted[joined.network.name]))
        if self._outward and self._is_closed() != self._was_closed:
            self._outward.close()
            self._open(())
        self._write_etc()

    def _join(self) -> Membership:
        """Come to the networks while the container runs, which is in a mode already."""
        from wherry.networks.membership import Membership

        membership = Membership(self._root, self.spec.id, self.spec.networks.servers)
        membership.join(self.spec.isolation, is_late=True)
        self._membership = membership
        return membership

    def _attach(self, attachment: Attachment) -> None:
        from wherry.networks.packets import Wanted

        membership = self._membership or self._join()
        wanted = Wanted(
            attachment.network,
            self._free_device(),
            self._called(attachment),
            attachment.addresses,
            attachment.mac,
        )
        netns = namespace.opened(self._pid)
        try:
            joined = self._joined[attachment.network] = membership.attach(wanted, netns)
        finally:
            os.close(netns)
        self._tell("connect", joined)

    def _detach(self, name: str) -> None:
        joined = self._joined.pop(name)
        if self._membership:
            self._membership.detach(joined.network.id)
        self._tell("disconnect", joined)

    def _open(self, listeners: Sequence[Listener]) -> None:
        """Make the way out, where the container has one, and its ports."""
        assert self._runtime
        self._was_closed = self._is_closed()
        self._outward = connect.connect(
            self._pid,
            self._folder.file("netns"),
            listeners,
            etcfiles.outside_nameservers(),
            self._runtime.attend,
            log=2,
            device=connect.WAY_OUT if self._joined else "",
            is_closed=self._was_closed,
        )

    def _called(self, attachment: Attachment) -> tuple[str, ...]:
        return networking.called(self.spec.id, self.spec.name, self.spec.hostname, attachment)

    def _free_device(self) -> str:
        # The container's processes may call theirs by any bytes.
        with open(f"/proc/{self._pid}/net/dev", encoding="latin-1") as file:
            taken = {line.partition(":")[0].strip() for line in file}
        return next(name for name in map("eth{}".format, range(len(taken) + 1)) if name not in taken)

    def _tell_all(self, action: str) -> None:
        for joined in self._joined.values():
            self._tell(action, joined)

    def _tell(self, action: str, joined: Joined) -> None:
        network = joined.network
        about = {"container": self.spec.id, "name": network.name, "type": "bridge"}
        events.record(self._root, "network", action, network.id, about)

    def _is_closed(self) -> bool:
        """Whether it is on networks that lead nowhere, and on no other."""
        return bool(self._joined) and all(joined.network.internal for joined in self._joined.values())

    def _write_etc(self) -> None:
        assert self._outward
        joined = list(self._joined.values())
        if joined:
            addresses = [address for one in joined for address in one.addresses]
            # On an internal one nothing is answered about outside (networks/resolver.py).
            asked = next((one.network for one in joined if not one.network.internal), joined[0].network)
            write_etc(self._folder, self.spec, addresses, [asked.gateway], is_asked_whole=True)
        else:
            own = [self._outward.address] if self._outward.address else []
            write_etc(self._folder, self.spec, own, self._outward.nameservers)


def _place(joined: Joined) -> Place:
    from wherry.networks.subnets import interfaces

    network = joined.network
    addresses = tuple(map(str, interfaces(network, joined.addresses)))
    return Place(network.name, network.id, addresses, network.gateway, joined.mac, joined.device)
