"""The monitor: the process that holds one container, from its start to its end.

It has the container's mounts in its own mount name space and the container's process below it, writes the
log, moves bytes between the process and whoever is attached, and writes down the end. It outlives the command
that started it. When it is killed, the kernel ends everything else: the process dies with its parent, the
mounts with the name space, the network's helpers with their maker.

One thread, one event loop (switchboard.py).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NoReturn

from wherry.base.errors import Unsupported, WherryError
from wherry.container import control, events, execution, signals, volumes
from wherry.container.containers import Container, Containers
from wherry.container.log import Writer
from wherry.container.prepare import prepared, write_etc
from wherry.container.state import EXITED, RUNNING, Folder, Spec, State, life_of
from wherry.container.streams import Streams
from wherry.container.switchboard import Client, Session, Switchboard
from wherry.oci.digest import Digest
from wherry.runtime import etcfiles, modes
from wherry.runtime.cgroups.group import Cgroup, limited
from wherry.runtime.helper import Running
from wherry.runtime.net import connect, namespace
from wherry.runtime.net.connect import Network
from wherry.runtime.net.ports import Listener, chosen
from wherry.runtime.runtime import Runtime
from wherry.runtime.runtimes import open_runtime
from wherry.store.store import Store


def supervise(
    root: str, spec: Spec, starter: socket.socket, attached: bool, listeners: Sequence[Listener]
) -> NoReturn:
    """Be the monitor of `spec`; to be called in a fresh child with one thread and no open store.

    `starter` is told `s` or `f`; with `attached` it also gets all output. `listeners` hold the ports.
    """
    code = 1
    try:
        folder = Containers(root).folder(spec.id)
        _stand_alone(folder, {starter.fileno(), *(item.socket.fileno() for item in listeners)})
        with Monitor(root, folder, spec, listeners) as monitor:
            monitor.run(starter, attached)
        code = 0
    except WherryError as error:
        _tell_failure(starter, error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _tell_failure(starter, WherryError(f"cannot run the container: {place}{error.strerror}"))
        _print_trace()
    except BaseException as error:
        what = WherryError(f"the container's monitor failed: {error!r}", excerpt=_print_trace())
        _tell_failure(starter, what)
    finally:
        sys.stderr.flush()
        os._exit(code)


class Monitor:
    """Holds what must be let go of at the end, in the order in which it was taken."""

    def __init__(self, root: str, folder: Folder, spec: Spec, listeners: Sequence[Listener]) -> None:
        self._root = root
        self._folder = folder
        self._spec = spec
        self._listeners = listeners
        self._network: Network | None = None
        self._cgroup = Cgroup()
        self._state = State()
        self._held = ExitStack()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()

    def run(self, starter: socket.socket, attached: bool) -> None:
        if not modes.enter(self._spec.isolation).may_mount:
            raise Unsupported(
                "containers cannot be run in the mode chroot: they need namespaces of their own",
                hint="`wherry build` works there; run the image where `wherry info` names another mode",
            )
        listener = control.listen(self._folder.path)
        streams = Streams(self._spec.terminal, self._spec.interactive)
        running = self._start(streams)
        try:
            log = Writer(self._folder.file("log.jsonl"))
            self._record_start(running)
            _check_starter(starter)
            main = Session(0, streams, running, log)
            switchboard = Switchboard(listener, main, lambda client: self._execute(switchboard, client))
            switchboard.pass_on(signal.SIGTERM, signals.number_of(self._spec.stop_signal))
            switchboard.add(starter, attached)
            events.record_volumes(self._folder, self._spec, "mount")
            events.record(self._folder, self._spec, "start")
            switchboard.tell(main, control.STARTED, self._started())
            switchboard.run()
            self._close(log)
        except BaseException:
            running.kill(signal.SIGKILL)
            running.wait()
            raise
        code = running.wait()
        switchboard.finish(code, self._finish(code))

    def _start(self, streams: Streams) -> Running:
        store = self._held.enter_context(Store.open(self._root))
        scratch = self._held.enter_context(store.scratch("runtime"))
        runtime = self._held.enter_context(open_runtime(self._spec.conditions.runtime, scratch))
        with store.lease():
            container = self._held.enter_context(prepared(store, self._folder, self._spec))
            platform = store.images.get(Digest(self._spec.image)).config.platform
        container = container._replace(emulator=runtime.emulator(platform))
        stdin, stdout, stderr = streams.inner
        group = self._held.enter_context(limited(self._spec.conditions.resources))

        def ready(pid: int) -> None:
            group.join(pid)
            self._connect(runtime, pid)

        running = runtime.start(container, stdin, stdout, stderr, ready)
        self._cgroup = group
        self._runtime, self._container, self._first = runtime, container, running
        streams.begin(running.console)
        return running

    def _execute(self, switchboard: Switchboard, client: Client) -> None:
        """Start another process in the container, as the client has ordered."""
        try:
            order = execution.decode(client.order)
            wanted = execution.process(order, self._spec, self._container)
            streams = Streams(order.terminal, order.interactive)
            stdin, stdout, stderr = streams.inner
            try:
                running = self._runtime.join(
                    self._container, self._first, wanted, (stdin, stdout, stderr), self._cgroup.join
                )
            except BaseException:
                streams.close()
                raise
        except WherryError as error:
            client.put(control.FAILED, _words(error))
            return
        except OSError as error:
            client.put(control.FAILED, _words(WherryError(f"cannot execute anything: {error.strerror}")))
            return
        streams.begin(running.console)
        number = switchboard.open(client, streams, running, self._record_execution(order.args[0]))
        client.put(control.STARTED, json.dumps({"note": "", "session": number}).encode())

    def _record_execution(self, program: str) -> Callable[[int], None]:
        """What records its end. The words behind the program's name may be nobody's business."""
        number = os.urandom(32).hex()
        for action in ("exec_create", "exec_start"):
            events.record(self._folder, self._spec, f"{action}: {program}", execID=number)

        def ended(code: int) -> None:
            events.record(self._folder, self._spec, "exec_die", execID=number, exitCode=str(code))

        return ended

    def _connect(self, runtime: Runtime, pid: int) -> None:
        """The process exists and waits: before it goes on, its network name space gets what it needs."""
        if self._spec.network != "default":
            return
        netns = self._folder.file("netns")
        try:
            namespace.mount_at(pid, netns)
            self._held.callback(namespace.unmount, netns)
            self._network = connect.connect(
                pid, netns, self._listeners, etcfiles.outside_nameservers(), runtime.attend, log=2
            )
        except OSError as error:
            raise WherryError(f"cannot connect the container's network: {error.strerror}") from None
        self._held.callback(self._network.close)
        write_etc(self._folder, self._spec, self._network.address, self._network.nameservers)

    def _record_start(self, running: Running) -> None:
        self._state = State(
            status=RUNNING,
            monitor=life_of(os.getpid()),
            pid=running.pid,
            started=time.time(),
            ports=chosen(self._listeners),
        )
        self._folder.write_state(self._state)

    def _started(self) -> bytes:
        lacking = self._network.note if self._network else ""
        note = f"the container cannot reach the network outside ({lacking}); published ports work"
        return json.dumps({"note": note if lacking else "", "session": 0}).encode()

    @staticmethod
    def _close(log: Writer) -> None:
        try:
            log.close()
        except OSError as error:
            print(f"output is missing in the log: {error.strerror}", file=sys.stderr)

    def _finish(self, code: int) -> str:
        """Let go of mounts and helpers, then write the end down (or delete the container).

        Why it was killed, where it exceeded its limits; else nothing.
        """
        excess = self._cgroup.excess()
        self._held.close()
        state = self._state._replace(
            status=EXITED,
            monitor=None,
            pid=0,
            finished=time.time(),
            exit_code=code,
            ports=(),
            out_of_memory=bool(excess),
        )
        self._folder.write_state(state)
        self._record_end(state)
        if self._spec.remove:
            with self._folder.locked():
                # Read again: it may have got another name since.
                remove(self._root, Container(self._folder, self._folder.spec(), state), with_volumes=True)
        return excess

    def _record_end(self, state: State) -> None:
        spec = self._folder.spec()  # it may have got another name
        if state.out_of_memory:
            events.record(self._folder, spec, "oom")
        lasted = str(int(state.finished - state.started))
        events.record(self._folder, spec, "die", execDuration=lasted, exitCode=str(state.exit_code))
        events.record_volumes(self._folder, spec, "unmount")


def _stand_alone(folder: Folder, keep: set[int]) -> None:
    """Away from the starter: its session, its folder, its descriptors and the locks that they hold."""
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(folder.file("monitor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    namespace.close_all_but({0, 1, 2, *keep})
    sys.stdout = sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _print_trace() -> str:
    import traceback

    text = traceback.format_exc()
    print(text, file=sys.stderr)
    return text


def _check_starter(starter: socket.socket) -> None:
    """Whoever was interrupted while it waited for the start does not know of the container: it must not run.

    The state says "running" by now, so a starter that leaves later finds the container, and can end it.
    """
    try:
        left = starter.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        left = False
    except OSError:
        left = True
    if left:
        raise WherryError("whoever started the container has left")


def _tell_failure(starter: socket.socket, error: WherryError) -> None:
    try:
        starter.setblocking(True)
        control.send(starter, control.FAILED, _words(error))
    except OSError:
        pass


def _words(error: WherryError) -> bytes:
    words = {
        "message": error.message,
        "hint": error.hint,
        "excerpt": error.excerpt,
        "exit_code": error.exit_code,
    }
    return json.dumps(words).encode()


def remove(root: str, container: Container, with_volumes: bool) -> None:
    """Delete an ended container (whose lock is held), and its anonymous volumes when they are to go too."""
    Containers(root).delete(container)
    for volume in container.spec.volumes:
        if with_volumes and volume.anonymous:
            volumes.remove(root, volume.source)
