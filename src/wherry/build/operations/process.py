"""A step's process: started in its cgroup and its network, its output taken, its end told."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

from wherry.base.errors import Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.operations.run import Log
from wherry.runtime import etcfiles
from wherry.runtime.cgroups.group import Cgroup, limited
from wherry.runtime.helper import Running
from wherry.runtime.net import connect, namespace
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import Container, Resources


class Ended(NamedTuple):
    """`reason` says what the code means."""

    process: Running
    code: int
    reason: str


class Place(NamedTuple):
    group: Cgroup
    ready: Callable[[int], None]
    """For `Runtime.start`."""


def execute(
    runtime: Runtime,
    container: Container,
    resources: Resources,
    scratch: str,
    log: Log,
    started: Callable[[Running], None],
    processors: Collection[int] = (),
) -> Ended:
    """Run it to its end, with all the processes that it starts; on `processors` alone, if there are any."""
    with placed(runtime, container, resources, scratch, processors) as place:
        process = _run(runtime, container, log, started, place.ready)
        code = process.wait()
        excess = place.group.excess() if code else ""
        return Ended(process, code, f"exit code: {code} ({excess})" if excess else f"exit code: {code}")


@contextmanager
def placed(
    runtime: Runtime,
    container: Container,
    resources: Resources,
    scratch: str,
    processors: Collection[int] = (),
) -> Iterator[Place]:
    """Cgroup, network and processors of a process, which gets them by `ready`, until the block ends."""
    with limited(resources) as group, ExitStack() as stack:

        def ready(pid: int) -> None:
            group.join(pid)
            if processors:
                with suppress(OSError):  # none of them is in the cgroup's set
                    os.sched_setaffinity(pid, processors)
            if container.network == "private":
                _connect(runtime, container, pid, scratch, stack)

        yield Place(group, ready)


def _connect(runtime: Runtime, container: Container, pid: int, scratch: str, stack: ExitStack) -> None:
    """Give it the network outside; undone by `stack`."""
    netns = f"{scratch}/netns"
    log = os.open(f"{scratch}/network.log", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, log)
    try:
        namespace.mount_at(pid, netns)
        stack.callback(namespace.unmount, netns)
        network = connect.connect(pid, netns, (), etcfiles.outside_nameservers(), runtime.attend, log)
    except OSError as error:
        raise WherryError(f"cannot connect the step's network: {error.strerror}") from None
    stack.callback(network.close)
    if network.note:
        raise Unsupported(
            f"--network private: this machine gives no network of its own ({network.note})",
            hint="apt-get install passt, and let wherry use /dev/net/tun; or --network host",
            excerpt=os.pread(log, 2000, 0).decode(errors="replace"),
        )
    text = etcfiles.resolv_conf(etcfiles.read_own("resolv.conf"), network.nameservers)
    shown = next(mount.source for mount in container.mounts if mount.target == "/etc/resolv.conf")
    etcfiles.rewrite(shown, text)


def _run(
    runtime: Runtime,
    container: Container,
    log: Log,
    started: Callable[[Running], None],
    ready: Callable[[int], None],
) -> Running:
    """The process, ended. Both streams are read until the last process that holds them is gone."""
    reading, writing = zip(*(os.pipe2(os.O_CLOEXEC) for _ in range(2)), strict=True)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            running = runtime.start(container, nothing, writing[0], writing[1], ready)
        finally:
            for descriptor in (nothing, *writing):
                os.close(descriptor)
        started(running)
        _drain({reading[0]: 1, reading[1]: 2}, log)
        return running
    finally:
        for descriptor in reading:
            os.close(descriptor)


def _drain(streams: dict[int, int], log: Log) -> None:
    with selectors.DefaultSelector() as selector:
        for descriptor, stream in streams.items():
            selector.register(descriptor, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 65536)
                if data:
                    log.write(key.data, data)
                else:
                    log.end(key.data)
                    selector.unregister(key.fd)
