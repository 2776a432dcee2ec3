"""What starts containers: `native.Native`, `oci.Oci` or `chroot.Chroot`; see `runtimes.open_runtime`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

from wherry.oci.platform import Platform, host
from wherry.runtime import joining, seccomp
from wherry.runtime.helper import Helper, Hooks, Running, Server, Steps, complete
from wherry.runtime.spec import Container, Emulator, Process

Serve = Callable[[int], Server]
"""Starts what answers on the descriptor that it is given."""


class _Lasting:
    """What serves a process that has joined a container serves what that leaves there too: nobody waits."""

    def wait(self) -> int:
        return 0

    def ended(self) -> bool:
        return True


def own_filter(container: Container) -> bytes:
    """The filter of the container's own profile."""
    from wherry.runtime import filtering, profiles

    return filtering.compiled(profiles.parse(container.profile, container.process.capabilities))


class Runtime(ABC):
    """Its containers are children of one helper process, and end with it; see `helper.Helper`."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._serving: list[Server] = []
        """Those of processes that have joined containers."""

    @abstractmethod
    def start(
        self,
        container: Container,
        stdin: int,
        stdout: int,
        stderr: int,
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        """Run a container on the descriptors given, which stay the caller's.

        With `process.terminal` they are not used: a terminal takes their place. `ready` is called with the
        pid when the namespaces exist, before the command is executed. Raises ExecFailed where the command
        cannot be executed, WherryError for every other failure; nothing runs then.
        """

    def join(
        self,
        container: Container,
        first: Running,
        process: Process,
        stdio: tuple[int, int, int],
        ready: Callable[[int], None] | None = None,
    ) -> Running:
        """Run another process in a container of this runtime's whose `first` one runs; else as `start`.

        It has the container's namespaces and seccomp filter; what ends the container ends it too.
        """
        return complete(self.joining(container, first, process, stdio, ready))

    def joining(
        self,
        container: Container,
        first: Running,
        process: Process,
        stdio: tuple[int, int, int],
        ready: Callable[[int], None] | None = None,
    ) -> Steps:
        """As `join`; `stdio` must stay open until it runs."""
        container = container._replace(process=process, observed="")
        document = joining.order(container)
        serve = self._confine(document, container)
        self._reap()

        def lasting(listener: int) -> Server:
            assert serve  # nothing else makes a listener
            self._serving.append(serve(listener))
            return _Lasting()

        with joining.target(container, first) as target:
            hooks = Hooks(ready, serve and lasting)
            return (yield from self._helper.steps(document, 0, stdio, hooks, target))

    def _reap(self) -> None:
        for server in [server for server in self._serving if server.ended()]:
            server.wait()
            self._serving.remove(server)

    def _confine(self, document: dict[str, Any], container: Container) -> Serve | None:
        """Put into an order what keeps its process within bounds; what serves it then, or None."""
        if container.profile:
            document["linux"]["wherry.filter"] = {"profile": own_filter(container)}
        elif container.seccomp:
            filters = {"filter": seccomp.program(container.process.capabilities)}
            document["linux"]["wherry.filter"] = filters
        return None

    def emulator(self, platform: Platform) -> Emulator | None:
        """What a container for `platform` has to be given; see `emulation.find`."""
        return self._find_emulator(platform, own=False)

    @staticmethod
    def _find_emulator(platform: Platform, *, own: bool) -> Emulator | None:
        if platform == host():
            return None
        from wherry.runtime import emulation

        return emulation.find(platform, own=own)

    def attend(self, arguments: Sequence[str], stdin: int, output: int) -> Running:
        """Run a program of this host beside the containers, which ends when they do: a network's.

        `arguments` begin with its absolute path. `output` takes what it says.
        """
        return self._helper.attend(arguments, stdin, output)

    def end(self) -> None:
        """As `close`, which waits for it."""
        self._helper.end()

    def close(self) -> None:
        """End every container and every other program that still runs."""
        self._helper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
