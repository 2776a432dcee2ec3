"""What a container has while it runs: its mounts, its runtime with the processes, its network, its limits."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack

from wherry.container.attach.streams import Streams
from wherry.container.monitor import execution
from wherry.container.monitor.execution import Order
from wherry.container.monitor.wiring import Wiring
from wherry.container.prepare import prepared
from wherry.container.processes.members import members
from wherry.container.state import Folder, Spec
from wherry.oci.digest import Digest
from wherry.runtime.cgroups.freezer import Freezer, freezer
from wherry.runtime.cgroups.group import Cgroup, limited
from wherry.runtime.helper import Helper, Running
from wherry.runtime.net.ports import Listener, release
from wherry.runtime.runtimes import open_runtime
from wherry.store.store import Store


class Hold:
    """Taken by `start`, let go of by `close`, in the opposite order. `listeners` hold its ports."""

    def __init__(
        self, root: str, folder: Folder, spec: Spec, listeners: Sequence[Listener], wiring: Wiring
    ) -> None:
        self._root = root
        self._folder = folder
        self._spec = spec
        self._listeners = listeners
        self._wiring = wiring
        self._cgroup = Cgroup()
        self._held, self._ending = ExitStack(), ExitStack()
        self._freezer: Freezer | None = None
        self.is_paused = False
        self._held.callback(release, listeners)

    def start(self, helper: Helper | None = None) -> tuple[Streams, Running]:
        """The container's first process. `helper`: one that has been started for it."""
        streams = Streams(self._spec.terminal, self._spec.interactive)
        try:
            running = self._start(streams, helper)
        except BaseException:
            streams.close()
            raise
        streams.begin(running.console)
        return streams, running

    def execute(self, order: Order) -> Generator[int, None, tuple[Streams, Running]]:
        """Another process in the container, as `Runtime.joining`."""
        wanted = execution.process(order, self._spec, self._container)
        streams = Streams(order.terminal, order.interactive)
        stdin, stdout, stderr = streams.inner
        try:
            running = yield from self._runtime.joining(
                self._container, self._first, wanted, (stdin, stdout, stderr), self._cgroup.join
            )
        except BaseException:
            streams.close()
            raise
        streams.begin(running.console)
        return streams, running

    def freezer(self) -> Freezer:
        """What pauses the container; made when it is first asked for. Unsupported where there is none."""
        if not self._freezer:
            self._freezer = self._held.enter_context(freezer(self._first.pid))
        return self._freezer

    def pause(self) -> None:
        self.freezer().freeze(lambda: members(os.getpid(), self._first.pid))
        self.is_paused = True

    def unpause(self) -> None:
        if self._freezer:
            self._freezer.thaw()
        self.is_paused = False

    @property
    def note(self) -> str:
        """What the user should know of it; mostly nothing."""
        lacking = self._wiring.note
        note = f"the container cannot reach the network outside ({lacking}); published ports work"
        return note if lacking else ""

    def close(self) -> str:
        """Why the container was killed, where it exceeded its limits; else nothing.

        What served it, and has nothing of it any more, may still be ending: see `wait`.
        """
        excess = self._cgroup.excess()
        self._held.close()
        return excess

    def wait(self) -> None:
        """Until everything has ended. For a monitor that goes on: its own end is no later for it."""
        self._ending.close()

    def _start(self, streams: Streams, helper: Helper | None) -> Running:
        store = self._held.enter_context(Store.open(self._root))
        scratch = self._held.enter_context(store.scratch("runtime"))
        name = self._spec.conditions.runtime
        runtime = self._ending.enter_context(open_runtime(name, scratch, helper=helper))
        self._held.callback(runtime.end)
        with store.lease():
            container = self._held.enter_context(
                prepared(store, self._folder, self._spec, self._wiring.network, self._wiring.etc)
            )
            platform = store.images.get(Digest(self._spec.image)).config.platform
        container = container._replace(emulator=runtime.emulator(platform))
        stdin, stdout, stderr = streams.inner
        group = self._held.enter_context(limited(self._spec.conditions.resources))
        self._held.callback(self._wiring.disconnect)
        self._ending.callback(self._wiring.wait)

        def ready(pid: int) -> None:
            group.join(pid)
            self._wiring.connect(runtime, pid, self._listeners)

        running = runtime.start(container, stdin, stdout, stderr, ready)
        self._cgroup = group
        self._runtime, self._container, self._first = runtime, container, running
        return running
